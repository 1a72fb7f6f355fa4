import { Marked } from 'marked';
import { createElement, type ReactNode } from 'react';

/** What marked's lexer answers, as far as it is shown. */
interface Token {
  type: string;
  raw: string;
  text?: string;
  depth?: number;
  ordered?: boolean;
  href?: string;
  tokens?: Token[];
  items?: Token[];
  header?: { text: string; tokens: Token[] }[];
  rows?: { text: string; tokens: Token[] }[][];
}

const parser = new Marked({ gfm: true });

/** A link that may be followed; scripts and other schemes are not links. */
function safeHref(href: string | undefined): string | undefined {
  if (!href) return undefined;
  if (/^(https?:|mailto:)/i.test(href)) return href;
  return /^[/#?]/.test(href) && !href.startsWith('//') ? href : undefined;
}

function render(tokens: Token[] | undefined, key = ''): ReactNode[] {
  return (tokens ?? []).map((t, i) => {
    const k = `${key}${i}`;
    switch (t.type) {
      case 'heading':
        return createElement(`h${Math.min(6, (t.depth ?? 1) + 1)}`, { key: k }, render(t.tokens, k));
      case 'paragraph':
        return <p key={k}>{render(t.tokens, k)}</p>;
      case 'list':
        return createElement(t.ordered ? 'ol' : 'ul', { key: k }, (t.items ?? []).map((x, j) => <li key={j}>{render(x.tokens, `${k}-${j}`)}</li>));
      case 'code':
        return (
          <pre key={k} className="code">
            {t.text}
          </pre>
        );
      case 'codespan':
        return <code key={k}>{t.text}</code>;
      case 'strong':
        return <strong key={k}>{render(t.tokens, k)}</strong>;
      case 'em':
        return <em key={k}>{render(t.tokens, k)}</em>;
      case 'del':
        return <del key={k}>{render(t.tokens, k)}</del>;
      case 'br':
        return <br key={k} />;
      case 'hr':
        return <hr key={k} />;
      case 'blockquote':
        return <blockquote key={k}>{render(t.tokens, k)}</blockquote>;
      case 'link': {
        const href = safeHref(t.href);
        return href ? (
          <a key={k} href={href} {...(/^https?:/i.test(href) ? { target: '_blank', rel: 'noreferrer noopener' } : {})}>
            {render(t.tokens, k)}
          </a>
        ) : (
          <span key={k}>{render(t.tokens, k)}</span>
        );
      }
      case 'table':
        return (
          <div key={k} className="table-wrap">
            <table className="t">
              <thead>
                <tr>
                  {t.header?.map((h, j) => (
                    <th key={j} scope="col">
                      {render(h.tokens, `${k}h${j}`)}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {t.rows?.map((r, j) => (
                  <tr key={j}>
                    {r.map((c, l) => (
                      <td key={l}>{render(c.tokens, `${k}r${j}-${l}`)}</td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        );
      case 'space':
        return null;
      case 'text':
        return t.tokens ? <span key={k}>{render(t.tokens, k)}</span> : unescape(t.text ?? '');
      case 'escape':
        return t.text ?? '';
      // HTML and images are shown as they were written.
      default:
        return t.raw;
    }
  });
}

function unescape(text: string): string {
  return text.replace(/&(amp|lt|gt|quot|#39);/g, (_, e: string) => ({ amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" })[e] ?? '');
}

/** Markdown as React elements: nothing in it can become HTML of its own. */
export default function Markdown({ text }: { text: string }) {
  return <div className="md">{render(parser.lexer(text) as unknown as Token[])}</div>;
}
