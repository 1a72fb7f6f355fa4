// The main job as a person does it, in a real browser: from signing in to a scheduled inspection, then every page at two sizes, in two
// themes and two languages. Needs PLENUM_URL, PLENUM_USER and PLENUM_PASSWORD of a fresh host with one agent; PLENUM_SERVICE names the CMDB
// model of a service that runs beside it; PLENUM_NEXT_PACKAGE is a newer package of the plugin in tests/browser/upgrade,
// whose older one is in the folder PLENUM_CATALOG_FOLDER of the host; PLENUM_SHOTS is a folder for screenshots; PLENUM_EVERY_PAGE=no leaves out the second half. Started by tests/e2e/browser.rs.
import { copyFileSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { launch, PATIENCE, settled, Shots, sound, until, Watch } from './browser.mjs';

const BASE = need('PLENUM_URL');
const USER = need('PLENUM_USER');
const PASSWORD = need('PLENUM_PASSWORD');
const SERVICE = process.env.PLENUM_SERVICE;
const NEXT = need('PLENUM_NEXT_PACKAGE');
const CATALOG = need('PLENUM_CATALOG_FOLDER');
const EVERY_PAGE = process.env.PLENUM_EVERY_PAGE !== 'no';
const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 390, height: 844 };
const SIZES = [WIDE, NARROW];

function need(name) {
  const v = process.env[name];
  if (!v) throw new Error(`${name} is not set: this is started by tests/e2e/browser.rs`);
  return v;
}

const shots = new Shots(process.env.PLENUM_SHOTS);
const browser = await launch();
// A dialog that still grows when it is clicked hears the press and not the release: nothing moves for who asks for that, and we do.
const context = await browser.newContext({ viewport: WIDE, locale: 'en-GB', timezoneId: 'UTC', colorScheme: 'light', reducedMotion: 'reduce', acceptDownloads: true });
context.setDefaultTimeout(PATIENCE);
const page = await context.newPage();
const watch = new Watch(page);
const app = page.frameLocator('iframe.plugin-frame');
const nav = page.getByRole('navigation', { name: 'Main navigation' });
const seen = {};
let passed = 0;

async function step(name, f) {
  const begun = Date.now();
  try {
    await f();
    watch.check(name);
  } catch (e) {
    const dir = process.env.PLENUM_SHOTS ?? mkdtempSync(join(tmpdir(), 'plenum-walk-'));
    const file = join(dir, 'failed.png');
    await page.screenshot({ path: file }).catch(() => {});
    console.error(`FAILED ${name}\n${e.stack ?? e}\nat ${page.url()}\nscreenshot: ${file}\n${passed} steps passed before`);
    for (const problem of watch.found) console.error(`  ${problem}`);
    for (const r of watch.pending) console.error(`  no answer yet: ${r.method()} ${r.url()}`);
    for (const dialog of await page.getByRole('dialog').allInnerTexts().catch(() => [])) console.error(`  a dialog says: ${dialog.slice(0, 2000)}`);
    await browser.close();
    process.exit(1);
  }
  passed += 1;
  console.log(`ok ${String(passed).padStart(3)}  ${name}  (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
}

/** The step's page, looked at: settled, sound, kept as a picture. */
async function look(name, options) {
  await settled(page, watch);
  await sound(page, watch, name, false);
  await shots.take(page, name, options);
}

const switchLanguage = () => page.locator('header.top button:has(span[lang])').evaluate((b) => b.click());
const visible = (locator) => locator.first().waitFor({ state: 'visible' });
const has = async (locator, text) => {
  const shown = (await locator.allInnerTexts()).join('\n');
  if (!(text instanceof RegExp ? text.test(shown) : shown.includes(text))) throw new Error(`expected ${text} in: ${shown.slice(0, 600)}`);
};
/** The last part of a path such as /runs/<id>. */
const idOf = (url) => new URL(url).pathname.split('/').at(-1);

async function text(download) {
  return readFileSync(await download.path(), 'utf8');
}

// ---- the walk ----

await step('the sign-in page asks for a name and a password', async () => {
  await page.goto(BASE);
  await visible(page.getByRole('heading', { name: 'Sign in' }));
  await look('01-sign-in');
});

await step('a wrong password is refused in plain words', async () => {
  await page.getByLabel('User name').fill(USER);
  await page.getByLabel('Password', { exact: true }).fill('not the password');
  await watch.expecting(/401.*\/session/, async () => {
    await page.getByRole('button', { name: 'Sign in' }).click();
    await visible(page.getByRole('alert'));
  });
});

await step('the right one signs in; Home shows the node and the first steps', async () => {
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await visible(nav);
  await visible(page.getByText('First steps'));
  await visible(page.getByRole('status', { name: 'Live updates are on' }));
  const online = page.locator('.stats a', { hasText: 'Nodes online' });
  await until('one node to be online', async () => (await online.innerText()).startsWith('1'));
  for (const panel of ['Recent jobs', 'Recent workflow runs', 'Apps', 'Nodes']) await visible(page.getByRole('heading', { name: panel, exact: true }));
  await look('02-home-fresh');
});

await step('CMDB lists the models; this machine is a Host', async () => {
  await nav.getByRole('link', { name: 'CMDB' }).click();
  const tile = page.locator('a.tile[href="/cmdb/host"]');
  await until('the host to be counted', async () => (await tile.locator('.count').innerText()) === '1');
  await look('03-cmdb');
  await tile.click();
  await visible(page.getByRole('heading', { name: 'Host', level: 1 }));
});

await step('a wrong filter says what is wrong and which name was meant; a right one filters', async () => {
  const filter = page.getByLabel('Filter (CEL expression)');
  await filter.fill('cpu_cuont >= 1');
  const message = page.locator('.cel-msg');
  await message.getByText(/cpu_cuont/).first().waitFor();
  await shots.take(page, '04-hosts-wrong-filter');
  await message.getByRole('button', { name: /cpu_count/ }).click();
  await visible(message.getByText('Matches: 1'));
  await filter.press('Enter');
  await until('the filter to be in the address', () => page.url().includes('filter='));
  await page.locator('table a').first().waitFor();
  await look('05-hosts');
});

await step('a machine without an agent is entered by hand', async () => {
  await page.goto(`${BASE}/cmdb/host`);
  await page.getByRole('button', { name: 'New instance' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('Host name').fill('a-switch-cabinet-with-quite-a-long-name.basement.example.com');
  await form.getByLabel('Owner').fill('facilities');
  await form.getByRole('button', { name: 'Save' }).click();
  await visible(page.getByRole('heading', { name: /^a-switch-cabinet/ }));
  await look('05-by-hand');
  await page.goBack();
});

await step('records from a file: a wrong cell is named before anything is written, the right rows come in', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'plenum-walk-')), 'machines.csv');
  writeFileSync(file, 'hostname,owner,cpu_count\nfrom-a-file-1,storage,\nfrom-a-file-2,storage,many\n');
  await page.goto(`${BASE}/cmdb/host`);
  await page.getByRole('button', { name: 'Import' }).click();
  const drawer = page.getByRole('dialog');
  await drawer.locator('input[type=file]').setInputFiles(file);
  await drawer.getByRole('button', { name: 'Check the file' }).click();
  await visible(drawer.getByText('Line 3'));
  await look('05-import-checked');
  await drawer.getByRole('button', { name: 'Import 1', exact: true }).click();
  await visible(drawer.getByText('Imported', { exact: true }));
  await drawer.getByRole('button', { name: 'Close' }).last().click();
  await visible(page.getByRole('link', { name: 'from-a-file-1' }));
  if (await page.getByRole('link', { name: 'from-a-file-2' }).count()) throw new Error('a row with a wrong cell came in');
});

await step('a record is deleted, and comes back with its history', async () => {
  await page.getByRole('link', { name: 'from-a-file-1' }).click();
  await visible(page.getByRole('heading', { name: 'from-a-file-1', level: 1 }));
  const url = page.url();
  await visible(page.getByText('Nothing is linked to it yet.'));
  await page.getByRole('button', { name: 'More actions' }).click();
  await page.getByRole('menuitem', { name: 'Delete' }).click();
  // From the deletion on: its live event may reach the record's page before the list is shown.
  await watch.expecting(/\b404\b/, async () => {
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.waitForURL(/\/cmdb\/host$/);
    await page.goto(url);
    await visible(page.getByText('This record was deleted'));
    await look('05-deleted');
    await page.getByRole('button', { name: 'Restore', exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Restore', exact: true }).click();
    await visible(page.getByRole('button', { name: 'Edit' }));
    await settled(page, watch);
  });
  await look('05-restored');
  await page.goto(`${BASE}/cmdb/host`);
});

await step('the machine: its facts', async () => {
  await page.locator('tbody tr', { hasText: 'Online' }).locator('a').first().click();
  await page.waitForURL(/\/cmdb\/host\/.+/);
  seen.host = idOf(page.url());
  await settled(page, watch);
  for (const fact of ['Host name', 'CPU model', 'Machine ID', 'Kernel', 'Architecture', 'Virtualisation']) {
    const value = page.locator('dl.kv > div', { has: page.locator('dt', { hasText: new RegExp(`^${fact}$`, 'i') }) }).locator('dd');
    const shown = (await value.first().innerText()).trim();
    if (!shown || shown === '—') throw new Error(`${fact} is not shown`);
  }
  for (const table of [/mounts|file systems/i, /interfaces/i]) await visible(page.locator('h3').filter({ hasText: table }));
  await look('06-host');
});

if (SERVICE) {
  await step(`the machine: the ${SERVICE} that runs on it, associated both ways`, async () => {
    const related = page.locator('section.panel', { has: page.getByRole('heading', { name: 'Related' }) });
    const link = related.locator(`a[href^="/cmdb/${SERVICE}/"]`).first();
    await link.click();
    await page.waitForURL(new RegExp(`/cmdb/${SERVICE}/`));
    seen.service = new URL(page.url()).pathname;
    await settled(page, watch);
    await has(page.locator('dl.kv'), /\d+\.\d+/);
    await visible(page.locator(`a[href="/cmdb/host/${seen.host}"]`));
    await look('07-service');
  });
}

await step('Catalog shows the Inspection Center: what it does, who signed it, each permission with its reason', async () => {
  await nav.getByRole('link', { name: 'Catalog' }).click();
  await visible(page.locator('.app-card img'));
  await look('08-catalog');
  await page.getByRole('link', { name: 'Inspection Center' }).first().click();
  await visible(page.getByRole('heading', { name: 'Inspection Center', level: 1 }));
  await visible(page.getByText('Signed', { exact: true }));
  const permissions = page.locator('.perm');
  if ((await permissions.count()) < 7) throw new Error('fewer permissions than the app asks for');
  for (const p of await permissions.all()) if ((await p.locator('.why').innerText()).trim().length < 10) throw new Error('a permission without a reason');
  await look('09-catalog-entry', { fullPage: true });
});

await step('it installs, and is in the navigation at once, without loading the page again', async () => {
  await page.evaluate(() => (window.sameDocument = true));
  await page.getByRole('button', { name: 'Install', exact: true }).click();
  const dialog = page.getByRole('dialog');
  await visible(dialog.getByRole('checkbox'));
  // Classes of a movement stand there for the frame in which the dialog is made, and not longer.
  await dialog.and(page.locator(':not([class*="ant-zoom"])')).waitFor({ timeout: 5000 });
  await shots.take(page, '10-install');
  await dialog.getByRole('button', { name: 'Grant and install' }).click();
  await visible(dialog.getByRole('button', { name: 'Open' }));
  await visible(nav.locator('a[href="/app/inspection-center/main"]'));
  await look('11-installed');
  await dialog.getByRole('button', { name: 'Open' }).click();
  await visible(app.getByRole('button', { name: 'Create the first inspection' }));
  if (!(await page.evaluate(() => window.sameDocument === true))) throw new Error('the page was loaded again');
  await look('12-inspection-center-empty');
});

await step('a new inspection from the Linux template', async () => {
  await app.getByRole('button', { name: 'Create the first inspection' }).click();
  await app.locator('label.card', { hasText: 'Linux baseline' }).getByRole('checkbox').check();
  await app.getByLabel('Description').fill('Everything that a Linux machine should get right');
  for (const other of ['PostgreSQL', 'Redis', 'MariaDB']) await visible(app.locator('label.card', { hasText: other }));
  await look('13-new-inspection');
  await app.getByRole('button', { name: 'Next' }).click();
});

await step('its targets by a filter: a wrong one is refused with the nearest name, a right one previews the machine', async () => {
  const filter = app.getByLabel('Filter', { exact: true });
  await watch.expecting(/\b400\b.*\/targets\/preview/, async () => {
    await filter.fill('cpu_cuont >= 1');
    await visible(app.locator('.error', { hasText: 'cpu_count' }));
    await shots.take(page, '14-wrong-filter');
    await settled(page, watch);
  });
  await filter.fill('cpu_count >= 1');
  await visible(app.getByText(/matches 1\b/));
  await visible(app.locator('.preview .tag.online'));
  await look('15-filter-preview');
  await app.getByRole('button', { name: 'Next' }).click();
});

await step('a threshold is adjusted, and can be reset', async () => {
  const input = app.getByLabel('Disk space Notification used_percent >=');
  await input.fill('1');
  await visible(app.locator('.item.changed', { hasText: 'Disk space' }).getByRole('button', { name: 'Reset' }));
  await app.locator('.item.changed').getByRole('button', { name: 'Reset' }).click();
  await until('the reset value', async () => (await input.inputValue()) === '75');
  await input.fill('1');
  await look('16-thresholds');
  await app.getByRole('button', { name: 'Next' }).click();
});

await step('it is scheduled: a wrong cron says so, the next five times are shown', async () => {
  await app.getByLabel('On a schedule').check();
  const cron = app.getByLabel('Cron');
  await watch.expecting(/\b422\b.*\/schedule\/preview/, async () => {
    await cron.fill('61 6 * * *');
    await visible(app.locator('.error'));
    await shots.take(page, '17-wrong-cron');
    await settled(page, watch);
  });
  await cron.fill('30 6 * * 1-5');
  await app.getByLabel('Time zone').fill('Asia/Shanghai');
  await app.getByLabel('Time zone').press('Tab');
  await until('five times', async () => (await app.locator('ol li.mono').count()) === 5);
  await look('18-schedule');
});

await step('it runs: progress for each target as it happens, then the report', async () => {
  await app.getByRole('button', { name: 'Save and run' }).click();
  await visible(app.getByRole('progressbar').or(app.locator('.gauge')));
  await shots.take(page, '19-progress');
  await visible(app.locator('.gauge'));
  await page.waitForURL(/\/reports\//);
  seen.report = idOf(page.url());
  const score = Number(await app.locator('.gauge b').innerText());
  if (!(score >= 0 && score <= 100)) throw new Error(`a score of ${score}`);
  for (const level of ['Fatal', 'Warning', 'Notification']) await visible(app.locator('.levels').getByText(level, { exact: true }));
  await visible(app.getByText('1 of 1 targets inspected'));
  await look('20-report');
});

await step('a finding shows its message, the advice and the command’s own output', async () => {
  const disk = app.locator('.res', { hasText: 'Disk space' }).first();
  await disk.locator('button.fold').first().click();
  await visible(disk.getByText(/% full/));
  await visible(disk.getByText('Advice:'));
  await until('the evidence', async () => /\d+ [\d.]+ [\d.]+ \//.test(await disk.locator('pre').first().innerText()));
  await disk.scrollIntoViewIfNeeded();
  await look('21-evidence');
});

await step('the report by check, and what changed', async () => {
  await app.getByRole('tab', { name: 'By check' }).click();
  const check = app.locator('.item', { hasText: 'Disk space' }).first();
  await check.locator('button.fold').first().click();
  await visible(check.locator('table'));
  await look('22-by-check');
  await switchLanguage();
  await visible(app.getByRole('tab', { name: '按检查项', selected: true }));
  await switchLanguage();
  await visible(app.getByRole('tab', { name: 'By check', selected: true }));
  await app.getByRole('tab', { name: /What changed/ }).click();
  await visible(app.getByText('This is the first report'));
});

await step('export to HTML: one file that stands by itself', async () => {
  const [file] = await Promise.all([page.waitForEvent('download'), app.getByRole('button', { name: 'Export HTML' }).click()]);
  if (!file.suggestedFilename().endsWith('.html')) throw new Error(file.suggestedFilename());
  const html = await text(file);
  if (!/^<!doctype html>/i.test(html) || !html.includes('Disk space')) throw new Error(html.slice(0, 200));
  const outside = html.match(/(?:src|href)="(?!#|data:)[^"]*"/g);
  if (outside) throw new Error(`it needs other files: ${outside.slice(0, 3).join(' ')}`);
  const alone = await context.newPage();
  const quiet = new Watch(alone);
  const kept = join(mkdtempSync(join(tmpdir(), 'plenum-walk-')), 'report.html');
  await file.saveAs(kept);
  await alone.goto(`file://${kept}`);
  await visible(alone.getByRole('heading').first());
  quiet.check('the exported report');
  await shots.take(alone, '23-export-html');
  await alone.close();
});

await step('export to CSV: a line for each result', async () => {
  const [file] = await Promise.all([page.waitForEvent('download'), app.getByRole('button', { name: 'Export CSV' }).click()]);
  if (!file.suggestedFilename().endsWith('.csv')) throw new Error(file.suggestedFilename());
  const lines = (await text(file)).trim().split(/\r?\n/);
  if (lines.length < 26 || !lines[0].includes(',')) throw new Error(`${lines.length} lines: ${lines[0]}`);
});

await step('run again: the second report says what changed, the history shows a trend', async () => {
  await app.getByRole('button', { name: 'Run now' }).click();
  await until('another report', () => /\/reports\//.test(page.url()) && idOf(page.url()) !== seen.report);
  await visible(app.locator('.gauge'));
  await app.getByRole('tab', { name: /What changed/ }).click();
  await visible(app.getByText('Nothing changed since the last report.').or(app.locator('table .tag')));
  await look('24-second-report');
  await app.locator('.head button.link').first().click();
  await until('two points of the trend', async () => (await app.locator('svg.trend g.pt').count()) === 2);
  seen.inspection = idOf(page.url());
  await visible(app.getByText(/Next: /));
  await look('25-history');
});

await step('the address leads back to the same place, and the browser’s Back works', async () => {
  const here = page.url();
  await app.locator('tbody').getByRole('button').first().click();
  await visible(app.locator('.gauge'));
  await page.goBack();
  await visible(app.locator('svg.trend'));
  if (page.url() !== here) throw new Error(`${page.url()} is not ${here}`);
  await page.reload();
  await visible(app.locator('svg.trend'));
});

await step('the templates: built-in ones are shown, a copy can be edited', async () => {
  await app.getByRole('button', { name: 'Templates' }).click();
  await visible(app.getByRole('heading', { name: 'Templates' }));
  await look('26-templates');
  await app.locator('tr', { hasText: 'Redis' }).getByRole('button', { name: 'Copy' }).click();
  await visible(app.getByRole('dialog'));
  await app.getByRole('dialog').getByRole('button', { name: 'Copy' }).click();
  await visible(app.getByRole('tab', { name: 'YAML' }));
  seen.template = idOf(page.url());
  await app.getByRole('tab', { name: 'YAML' }).click();
  const yaml = app.getByLabel('YAML');
  const source = await yaml.inputValue();
  await yaml.fill(source.replace(/^checks:/m, 'chekcs:'));
  await visible(app.locator('.problems'));
  await shots.take(page, '27-template-wrong');
  await yaml.fill(source);
  await visible(app.getByText('Valid'));
  await look('28-template');
});

const taskRow = (name) => page.locator('.task', { has: page.locator('strong').getByText(name, { exact: true }) });

await step('the workflow behind the inspection, task by task', async () => {
  await page.goto(`${BASE}/app/inspection-center/main/reports/${seen.report}`);
  await app.getByRole('button', { name: 'Open the workflow' }).click();
  await page.waitForURL(/\/runs\/.+/);
  seen.run = idOf(page.url());
  const drawing = page.getByRole('group', { name: 'Drawing of inspection-center.inspect' });
  await drawing.getByRole('button', { name: /^plan,.*Succeeded/ }).click();
  await has(page.getByRole('region', { name: 'Task plan' }), 'inspection');
  await look('29-run-drawing');
  await page.getByText('Timeline', { exact: true }).click();
  await visible(page.getByRole('region', { name: 'Timeline' }).getByRole('button', { name: /^plan, Succeeded/ }));
  await look('29-run-timeline');
  await page.getByRole('button', { name: 'Close', exact: true }).click();
  await page.getByText('List', { exact: true }).click();
  await visible(page.getByRole('heading', { name: 'inspection-center.inspect' }));
  for (const task of ['plan', 'batches', 'prepare', 'job', 'grade', 'finish']) await visible(taskRow(task));
  await taskRow('plan').click();
  const body = page.locator('.task-body');
  await visible(body.getByRole('heading', { name: 'Input' }));
  await visible(body.getByRole('heading', { name: 'Output' }));
  await has(body, 'inspection');
  await look('29-run');
  await nav.getByRole('link', { name: 'Workflows' }).click();
  await visible(page.getByRole('link', { name: /inspect/ }));
  await page.getByRole('link', { name: 'Runs', exact: true }).click();
  await until('both runs', async () => (await page.locator('tbody tr').count()) === 2);
  await look('30-runs');
});

await step('a workflow drawn: a task from the palette, the keyboard, a rehearsal, two versions compared', async () => {
  await page.goto(`${BASE}/workflows/new`);
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('drawn');
  const drawing = page.getByRole('group', { name: 'Drawing of drawn' });
  await drawing.getByRole('button', { name: /^ask, Call, job.run/ }).click();
  await visible(page.getByRole('region', { name: 'Task ask' }));
  await page.getByRole('button', { name: 'Add a task' }).first().click();
  const palette = page.getByRole('dialog');
  await palette.getByRole('textbox', { name: 'Search blocks and actions' }).fill('set data');
  await palette.getByRole('button', { name: /Set data/ }).click();
  await drawing.getByRole('button', { name: /^set, Set data/ }).press('Alt+ArrowUp');
  await drawing.getByRole('button', { name: /^set, Set data/ }).press('Control+d');
  await visible(drawing.getByRole('button', { name: /^set-2, Set data/ }));
  await look('31-canvas');
  await page.getByRole('button', { name: 'Rehearse' }).click();
  await page.getByRole('button', { name: 'Begin the rehearsal' }).click();
  await visible(page.getByText('Step 1 of 3'));
  await page.getByRole('button', { name: 'A step on' }).click();
  await visible(page.getByText('Step 2 of 3'));
  await look('31-rehearsal');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.waitForURL(/\/workflows\/drawn$/);
  await page.getByRole('button', { name: 'Edit', exact: true }).click();
  await drawing.getByRole('button', { name: /^set-2, Set data/ }).press('Delete');
  await drawing.getByRole('button', { name: /^set-2/ }).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('button', { name: 'Versions', exact: true }).click();
  const versions = page.getByRole('dialog', { name: 'Versions of drawn' });
  await visible(versions.getByText('Taken away: 1'));
  await look('31-versions');
  await page.keyboard.press('Escape');
});

await step('runs: several at once with one reason, and their figures', async () => {
  await page.goto(`${BASE}/runs`);
  await page.getByRole('checkbox', { name: 'Choose all on this page' }).check();
  await visible(page.getByRole('button', { name: /^Retry \(\d+\)/ }));
  await page.getByRole('link', { name: 'Statistics', exact: true }).click();
  await visible(page.getByRole('heading', { name: 'Why runs failed' }));
  await look('32-statistics');
});

await step('Jobs shows the executions behind the runs, with output', async () => {
  await nav.getByRole('link', { name: 'Jobs' }).click();
  await until('both executions', async () => (await page.locator('tbody tr').count()) === 2);
  await look('31-jobs');
  await page.locator('tbody tr a').first().click();
  await page.waitForURL(/\/jobs\/.+/);
  seen.job = idOf(page.url());
  await until('the output', async () => (await page.locator('pre.term').first().innerText()).length > 100);
  await look('32-job');
});

await step('Run a script: the output appears while it runs', async () => {
  await nav.getByRole('link', { name: 'Jobs' }).click();
  await page.getByRole('link', { name: 'Run a script' }).or(page.getByRole('button', { name: 'Run a script' })).first().click();
  await page.waitForURL(/\/jobs\/run/);
  const editor = page.locator('.cm-content');
  await editor.click();
  await page.keyboard.press('ControlOrMeta+End');
  // It waits until it is told to go on: no guess at how long a browser takes to look.
  const mark = join(mkdtempSync(join(tmpdir(), 'plenum-walk-')), 'go on');
  await page.keyboard.insertText(`echo "first words of $1"\nuntil [ -e ${JSON.stringify(mark)} ]; do sleep 0.1; done\necho "last words"\n`);
  await page.getByLabel('Name', { exact: true }).fill('Say hello');
  await page.getByLabel('Arguments').fill('the walk');
  await page.getByLabel('Arguments').press('Enter');
  await visible(page.getByText('Targets: 1'));
  await look('33-run-a-script', { fullPage: true });
  await page.getByRole('button', { name: 'Run on 1' }).click();
  await page.waitForURL((u) => /\/jobs\/(?!run)/.test(u.pathname));
  const out = page.locator('pre.term').first();
  await until('the first words', async () => (await out.innerText()).includes('first words of the walk'));
  if ((await out.innerText()).includes('last words')) throw new Error('the script did not wait');
  await visible(page.locator('.page-head').getByText('Running'));
  await shots.take(page, '34-live-output');
  writeFileSync(mark, '');
  await until('the last words', async () => (await out.innerText()).includes('last words'));
  await visible(page.locator('.page-head').getByText('Succeeded'));
  await look('35-script-done');
});

await step('A script that a rule finds something in waits for another person', async () => {
  await nav.getByRole('link', { name: 'Jobs' }).click();
  await page.getByRole('link', { name: 'Run a script' }).or(page.getByRole('button', { name: 'Run a script' })).first().click();
  await page.waitForURL(/\/jobs\/run/);
  await page.locator('.cm-content').click();
  await page.keyboard.press('ControlOrMeta+End');
  await page.keyboard.insertText('X=/\nrm -rf "$X"\n');
  await visible(page.getByText('It blocks: the script does not run'));
  await page.keyboard.press('ControlOrMeta+A');
  await page.keyboard.insertText('crontab -r\n');
  await visible(page.getByText('Another person has to approve it'));
  await page.getByLabel('Name', { exact: true }).fill('Needs a second pair of eyes');
  await look('35-findings', { fullPage: true });
  await page.getByRole('button', { name: 'Run on 1' }).click();
  await page.waitForURL((u) => /\/jobs\/(?!run)/.test(u.pathname));
  await visible(page.getByText('Waiting for another person’s approval'));
  await look('35-waits-for-approval', { fullPage: true });
  await page.getByRole('button', { name: 'Cancel the job', exact: true }).click();
  await page.locator('.ant-modal-confirm').getByRole('button', { name: 'Cancel the job', exact: true }).click();
  await visible(page.locator('.page-head').getByText('Cancelled'));
});

// ---- the life of an app ----

await step('an app shows what it uses: calls, durations, memory, storage, outbound calls', async () => {
  await page.goto(`${BASE}/apps/inspection-center`);
  const figure = (name) => page.locator('.stats > div', { has: page.getByText(name, { exact: true }) }).locator('.v');
  await until('the calls of the inspection to be counted', async () => Number((await figure('Calls').innerText()).replace(/\D/g, '')) > 10);
  await visible(figure('Median duration').filter({ hasText: /\d (ms|s)/ }));
  await visible(figure('Most memory of one call').filter({ hasText: 'MiB' }));
  await visible(page.locator('.meters > div', { hasText: 'Storage' }).filter({ hasText: /[KM]iB of/ }));
  await visible(page.locator('.meters dt', { hasText: 'Outbound calls this minute' }));
  await visible(page.getByRole('img', { name: /^Calls a minute/ }));
  await look('37-app', { fullPage: true });
});

await step('its permissions: when each was used last, which never; one is taken and given back', async () => {
  await page.getByRole('link', { name: 'Permissions', exact: true }).click();
  const row = (name) => page.locator('.perm', { has: page.locator('code', { hasText: new RegExp(`^${name}$`) }) });
  await visible(row('store').getByText(/^Used \d+×, last/));
  await visible(row('nodes.read').or(row('events.read')));
  await row('events.read').getByRole('checkbox').uncheck();
  await visible(page.getByText(/^Taken away: Follow events/));
  await page.getByRole('button', { name: 'Save permissions' }).click();
  await visible(row('events.read').getByText('not granted'));
  await row('events.read').getByRole('checkbox').check();
  await page.getByRole('button', { name: 'Save permissions' }).click();
  await row('events.read').getByText('not granted').waitFor({ state: 'hidden' });
  await look('38-permissions');
});

await step('its log can be searched; what does not match says so', async () => {
  await page.getByRole('link', { name: 'Log', exact: true }).click();
  const search = page.getByLabel('Message, field or call');
  await search.fill('no such words were ever logged');
  await search.press('Enter');
  await visible(page.getByText('Nothing matches'));
  await look('39-log-nothing');
  await page.getByRole('button', { name: 'Clear search and filter' }).click();
  await page.getByText('Nothing matches').waitFor({ state: 'hidden' });
});

await step('its failures: there are none', async () => {
  await page.getByRole('link', { name: 'Failures', exact: true }).click();
  await visible(page.getByText('No call crashed or ran into a limit'));
  await look('40-no-failures');
});

await step('another app installs; a newer version of it is announced', async () => {
  await page.goto(`${BASE}/catalog/walk-board`);
  await page.getByRole('button', { name: 'Install', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Grant and install' }).click();
  await visible(page.getByRole('dialog').getByRole('button', { name: 'Open' }));
  await page.getByRole('dialog').getByRole('button', { name: 'Open' }).click();
  await visible(page.locator('.md strong'));
  copyFileSync(NEXT, join(CATALOG, basename(NEXT)));
  await page.goto(`${BASE}/apps`);
  await page.getByRole('link', { name: '0.2.0 is available' }).click();
  await visible(page.getByText('Version 0.2.0 is in the catalog'));
  await look('41-newer-version');
});

await step('the upgrade shows what is new, grants it only when told to, and upgrades', async () => {
  await page.getByRole('button', { name: 'Upgrade', exact: true }).click();
  const dialog = page.getByRole('dialog');
  const fresh = dialog.locator('.perm', { hasText: 'jobs.read' });
  await visible(fresh.getByText('new', { exact: true }));
  if (await fresh.getByRole('checkbox').isChecked()) throw new Error('a new permission was ticked beforehand');
  if (!(await dialog.locator('.perm', { hasText: 'events.read' }).getByRole('checkbox').isChecked())) throw new Error('a permission that it has was not kept');
  await visible(dialog.getByText(/^Not granted for now: Read job results/));
  await look('42-upgrade');
  await dialog.getByRole('button', { name: 'Upgrade', exact: true }).click();
  await dialog.waitFor({ state: 'hidden' });
  await visible(page.locator('td', { hasText: /^Upgraded$/ }));
  await visible(page.locator('.page-head .sub').filter({ hasText: '0.2.0' }));
  await page.getByRole('link', { name: 'Permissions', exact: true }).click();
  await visible(page.locator('.perm', { hasText: 'jobs.read' }).getByText('not granted'));
});

await step('it is rolled back to the version before', async () => {
  await page.getByRole('link', { name: 'Versions', exact: true }).click();
  await page.getByRole('button', { name: 'Roll back to 0.1.0' }).click();
  const dialog = page.getByRole('dialog');
  await visible(dialog.getByLabel('Keep its records as they are now'));
  await shots.take(page, '43-rollback');
  await dialog.getByRole('button', { name: 'Roll back', exact: true }).click();
  await dialog.waitFor({ state: 'hidden' });
  await visible(page.locator('td', { hasText: /^Rolled back$/ }));
  await visible(page.locator('.page-head .sub').filter({ hasText: '0.1.0' }));
  await look('44-rolled-back');
});

// ---- declared pages, by the gallery that shows every block ----

await step('the gallery installs, and draws every block of a declared page', async () => {
  await page.goto(`${BASE}/catalog/gallery`);
  await page.getByRole('button', { name: 'Install', exact: true }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Grant and install' }).click();
  await dialog.getByRole('button', { name: 'Open' }).click();
  await visible(page.getByRole('img', { name: /^A line over time/ }));
  await until('lines to be drawn', async () => (await page.locator('.chart path.line').count()) >= 3);
  await page.locator('.chart summary').first().click();
  await visible(page.locator('.chart table'));
  await look('45-gallery-charts', { fullPage: true });
  await page.getByRole('tab', { name: 'Charts' }).press('ArrowRight');
  await until('the tab to be in the address', () => page.url().includes('tab2=1'));
  for (const text of ['db-7.example.com', '32.0 GiB', 'Install the new version', 'Frankfurt']) await visible(page.getByText(text, { exact: true }));
  await visible(page.locator('.tree .leaf', { hasText: 'web-2' }));
  await look('46-gallery-detail');
  await page.getByRole('tab', { name: 'Timeline and log' }).click();
  await visible(page.getByText('all well'));
  await visible(page.getByText('No things yet: add some on the other page'));
  await look('47-gallery-log');
});

await step('a source that refuses says why, where it would have been', async () => {
  await watch.expecting(/\b409\b.*\/refusal|status of 409/, async () => {
    await page.getByRole('tab', { name: 'Nothing, and refusals' }).click();
    await visible(page.getByText('this route refuses each time, to show how a page says so'));
    await visible(page.getByText('No certificates are watched'));
    await look('48-gallery-refusal');
    await page.getByRole('tab', { name: 'Charts' }).click();
    await settled(page, watch);
  });
});

await step('a form of a declared page adds; a question comes before what removes; the page reads again by itself', async () => {
  await page.goto(`${BASE}/app/gallery/work`);
  await page.getByRole('button', { name: 'Add a thing' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Add a thing' }).click();
  await visible(dialog.getByText('Required'));
  await dialog.getByLabel('Name').fill('a disk');
  await dialog.getByRole('button', { name: 'Add a thing' }).click();
  await visible(page.getByRole('cell', { name: 'a disk' }));
  // Somebody else adds one: the event alone has this page read again.
  await page.evaluate(() => fetch('/api/v1/plugins/gallery/http/things', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"name":"from elsewhere"}' }).then((r) => r.text()));
  await visible(page.getByRole('cell', { name: 'from elsewhere' }));
  await look('49-gallery-form', { fullPage: true });
  const row = page.locator('tr', { hasText: 'from elsewhere' });
  await row.getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('dialog').filter({ hasText: 'Remove this thing?' }).getByRole('button', { name: 'Remove' }).click();
  await row.waitFor({ state: 'detached' });
});

await step('Home now shows what happened', async () => {
  await nav.getByRole('link', { name: 'Home' }).click();
  await visible(page.getByRole('link', { name: 'Say hello' }));
  await visible(page.getByRole('link', { name: 'inspection-center.inspect' }));
  await look('50-home');
});

// ---- every page, at both sizes, in both themes and languages ----

const PAGES = {
  home: '/',
  cmdb: '/cmdb',
  search: '/search?q=web',
  hosts: '/cmdb/host',
  'hosts-values': `/cmdb/host?facets=1&filter=${encodeURIComponent('status == "online"')}`,
  host: `/cmdb/host/${seen.host}`,
  ...(seen.service ? { service: seen.service } : {}),
  empty: '/cmdb/rack',
  model: '/models/host',
  'model-new': '/models/new',
  changes: '/changes',
  'change-rules': '/changes/rules',
  health: '/health',
  sources: '/sources',
  reviews: '/sources/reviews',
  precedence: '/sources/precedence',
  nodes: '/nodes',
  enrol: '/nodes?enrol=1',
  'node-policies': '/nodes/policies',
  jobs: '/jobs',
  job: `/jobs/${seen.job}`,
  'run-script': '/jobs/run',
  'jobs-to-approve': '/jobs/approvals',
  'job-rules': '/jobs/rules',
  workflows: '/workflows',
  workflow: '/workflows/inspection-center.inspect',
  'workflow-text': '/workflows/inspection-center.inspect?view=text',
  'workflow-both': '/workflows/inspection-center.inspect?view=both',
  'workflow-new': '/workflows/new',
  runs: '/runs',
  run: `/runs/${seen.run}`,
  'run-timeline': `/runs/${seen.run}?view=timeline`,
  'run-list': `/runs/${seen.run}?view=list`,
  statistics: '/runs/statistics',
  schedules: '/schedules',
  approvals: '/approvals',
  catalog: '/catalog',
  entry: '/catalog/inspection-center',
  apps: '/apps',
  app: '/apps/inspection-center',
  'app-settings': '/apps/inspection-center/settings',
  'app-permissions': '/apps/inspection-center/permissions',
  'app-versions': '/apps/walk-board/versions',
  'app-logs': '/apps/inspection-center/logs',
  'app-calls': '/apps/inspection-center/calls',
  'app-failures': '/apps/inspection-center/failures',
  'gallery-charts': '/app/gallery/parts',
  'gallery-detail': '/app/gallery/parts?tab2=1',
  'gallery-log': '/app/gallery/parts?tab2=2',
  'gallery-form': '/app/gallery/work',
  users: '/admin/users',
  'data-roles': '/admin/data-roles',
  'association-kinds': '/association-kinds',
  tokens: '/admin/tokens',
  audit: '/admin/audit',
  profile: '/profile',
  nowhere: '/there/is/no/such/page',
  inspections: '/app/inspection-center/main/inspections',
  inspection: `/app/inspection-center/main/inspections/${seen.inspection}`,
  'inspection-edit': `/app/inspection-center/main/inspections/${seen.inspection}/edit`,
  'inspection-new': '/app/inspection-center/main/inspections/new',
  report: `/app/inspection-center/main/reports/${seen.report}`,
  templates: '/app/inspection-center/main/templates',
  template: '/app/inspection-center/main/templates/linux-baseline',
  'template-own': `/app/inspection-center/main/templates/${seen.template}`,
};

// What opens over a page: where, and the button that opens it, by its name.
const DIALOGS = {
  palette: ['/', page.locator('button.find')],
  'filter-help': ['/cmdb/host', 'How to write a filter'],
  saved: [`/cmdb/host?filter=${encodeURIComponent('status == "online"')}`, 'Saved'],
  'instance-new': ['/cmdb/host', 'New instance'],
  'instance-edit': [`/cmdb/host/${seen.host}`, 'Edit'],
  'change-request': [`/cmdb/host/${seen.host}`, 'Request a change'],
  'change-apply': ['/changes', 'Apply for a resource'],
  'change-rule-new': ['/changes/rules', 'New rule'],
  'instance-link': [`/cmdb/host/${seen.host}`, 'Link to another instance'],
  attribute: ['/models/host', 'Add attribute'],
  'workflow-start': ['/workflows/inspection-center.inspect', 'Start'],
  'workflow-schedule': ['/workflows/inspection-center.inspect', 'Schedule'],
  'workflow-add': ['/workflows/new', 'Add a task'],
  'schedule-new': ['/schedules', 'New schedule'],
  'user-new': ['/admin/users', 'New user'],
  'data-role-new': ['/admin/data-roles', 'New data role'],
  'association-kind-new': ['/association-kinds', 'New association kind'],
  'token-new': ['/admin/tokens', 'New token'],
  'audit-entry': ['/admin/audit', page.getByTitle('Open entry')],
  uninstall: ['/apps/inspection-center', 'Uninstall'],
  upgrade: ['/catalog/walk-board', 'Upgrade'],
};

for (const viewport of EVERY_PAGE ? SIZES : []) {
  const size = viewport.width;
  await page.setViewportSize(viewport);
  for (const [name, path] of Object.entries(PAGES)) {
    await step(`${size} wide: ${path}`, async () => {
      await page.goto(BASE + path);
      await settled(page, watch);
      for (const chinese of [false, true]) {
        if (chinese) await switchLanguage();
        for (const colorScheme of ['light', 'dark']) {
          await page.emulateMedia({ colorScheme });
          await settled(page, watch);
          const at = `${size}-${name}-${chinese ? 'zh' : 'en'}-${colorScheme}`;
          await shots.take(page, at);
          await sound(page, watch, at, chinese);
        }
      }
      await switchLanguage();
      await page.emulateMedia({ colorScheme: 'light' });
    });
  }
  for (const [name, [path, button]] of Object.entries(DIALOGS)) {
    await step(`${size} wide: ${path}, ${name}`, async () => {
      await page.goto(BASE + path);
      await settled(page, watch);
      await (typeof button === 'string' ? page.getByRole('button', { name: button, exact: true }) : button).first().click();
      await visible(page.getByRole('dialog'));
      for (const chinese of [false, true]) {
        if (chinese) await switchLanguage();
        await settled(page, watch);
        const at = `${size}-${name}-${chinese ? 'zh' : 'en'}`;
        await shots.take(page, at);
        await sound(page, watch, at, chinese);
      }
      await switchLanguage();
    });
  }
}

await step('390 wide: the navigation is a drawer that leads on and closes', async () => {
  await page.setViewportSize(NARROW);
  await page.goto(BASE);
  await page.getByRole('button', { name: 'Open navigation' }).click();
  const drawer = page.getByRole('dialog').getByRole('navigation', { name: 'Main navigation' });
  await visible(drawer);
  await shots.take(page, '390-drawer');
  await drawer.getByRole('link', { name: 'Inspection Center' }).click();
  await visible(app.getByRole('heading', { name: 'Inspections' }));
  await drawer.waitFor({ state: 'hidden' });
});

await step('signing out ends it', async () => {
  await page.setViewportSize(WIDE);
  await page.getByRole('button', { name: /Account of/ }).click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await visible(page.getByRole('heading', { name: 'Sign in' }));
  for (const viewport of SIZES) {
    const size = viewport.width;
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme: 'dark' });
    await settled(page, watch);
    await sound(page, watch, `the sign-in page, ${size} wide`, false);
    await shots.take(page, `${size}-sign-in`);
  }
});

await browser.close();
console.log(`${passed} steps passed`);
