// A plugin's page that means harm, in a real browser: PLENUM_URL, PLENUM_USER and PLENUM_PASSWORD of a host that has `tests/hostile/page`
// installed. Prints what the page got, as JSON. Started by tests/hostile/page.rs.
import { launch, until } from './browser.mjs';

const BASE = process.env.PLENUM_URL;
const browser = await launch();
try {
  const context = await browser.newContext();
  const page = await context.newPage();
  // What was meant for elsewhere and not stopped by the browser's own rules.
  const left = [];
  context.on('requestfinished', (r) => !r.url().startsWith(BASE) && left.push(r.url()));
  context.on('requestfailed', (r) => !r.url().startsWith(BASE) && !/csp|blocked/i.test(r.failure()?.errorText ?? '') && left.push(`${r.url()}: ${r.failure()?.errorText}`));
  await page.goto(BASE);
  await page.getByLabel('User name').fill(process.env.PLENUM_USER);
  await page.getByLabel('Password', { exact: true }).fill(process.env.PLENUM_PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('nav.nav').first().waitFor();
  await page.goto(`${BASE}/app/hostile-page/main`);
  const said = page.frameLocator('iframe.plugin-frame').locator('#said');
  await said.waitFor();
  const text = await until('the page to have tried everything', async () => {
    const t = await said.textContent();
    return t !== 'waiting' && t;
  });
  const cookies = (await context.cookies()).map((c) => c.name);
  console.log(JSON.stringify({ tries: JSON.parse(text), at: page.url(), pages: context.pages().length, cookies, left }));
} finally {
  await browser.close();
}
