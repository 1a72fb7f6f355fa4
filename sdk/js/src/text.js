// UTF-8: QuickJS has neither TextEncoder nor TextDecoder.

/** Text as bytes; a lone surrogate becomes U+FFFD. */
export function encodeText(text) {
  const out = [];
  for (const character of String(text)) {
    let c = character.codePointAt(0);
    if (c >= 0xd800 && c <= 0xdfff) c = 0xfffd;
    if (c < 0x80) out.push(c);
    else if (c < 0x800) out.push(0xc0 | (c >> 6), 0x80 | (c & 63));
    else if (c < 0x10000) out.push(0xe0 | (c >> 12), 0x80 | ((c >> 6) & 63), 0x80 | (c & 63));
    else out.push(0xf0 | (c >> 18), 0x80 | ((c >> 12) & 63), 0x80 | ((c >> 6) & 63), 0x80 | (c & 63));
  }
  return Uint8Array.from(out);
}

/** Bytes as text; what is not UTF-8 becomes U+FFFD. */
export function decodeText(bytes) {
  let out = '';
  let part = [];
  const flush = () => {
    out += String.fromCodePoint(...part);
    part = [];
  };
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at++];
    let [more, least, code] = first < 0x80 ? [0, 0, first] : first >= 0xc2 && first < 0xe0 ? [1, 0x80, first & 31] : first >= 0xe0 && first < 0xf0 ? [2, 0x800, first & 15] : first >= 0xf0 && first < 0xf5 ? [3, 0x10000, first & 7] : [0, 0, 0xfffd];
    const start = at;
    for (; more > 0 && at < bytes.length && (bytes[at] & 0xc0) === 0x80; more--) code = (code << 6) | (bytes[at++] & 63);
    if (more > 0 || code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
      code = 0xfffd;
      if (more === 0) at = start;
    }
    part.push(code);
    // A call has as many arguments as there are code points.
    if (part.length >= 4096) flush();
  }
  flush();
  return out;
}
