// Chromium under the control of a test: reads JavaScript from standard input, a JSON string a line,
// runs it with `page` and `context` of Playwright at hand, and answers each line with a line of
// JSON: {"value": ...} or {"error": ...}. Usage: node browser.mjs MODULES CHROMIUM FOLDER
import {createRequire} from 'node:module';
import {createInterface} from 'node:readline';

const [modules, chromium, folder] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const playwright = require('playwright-core');

const context = await playwright.chromium.launchPersistentContext(folder, {
  executablePath: chromium,
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const page = context.pages()[0] ?? await context.newPage();

// What the browser complains of: refusals of the policy, uncaught errors, requests to others.
const trouble = [];
page.on('console', (message) => {
  if (['error', 'warning'].includes(message.type())) trouble.push(message.text());
});
page.on('pageerror', (error) => trouble.push(String(error)));
const asked = [];
page.on('request', (request) => asked.push(request.url()));
page.setDefaultTimeout(Number(process.env.RINGPOST_DEADLINE_S ?? 20) * 1000);

const Run = Object.getPrototypeOf(async () => {}).constructor;
console.log(JSON.stringify({value: 'ready'}));
for await (const line of createInterface({input: process.stdin})) {
  try {
    const run = new Run('page', 'context', 'trouble', 'asked', JSON.parse(line));
    console.log(JSON.stringify({value: await run(page, context, trouble, asked) ?? null}));
  } catch (error) {
    console.log(JSON.stringify({error: String(error)}));
  }
}
await context.close();
