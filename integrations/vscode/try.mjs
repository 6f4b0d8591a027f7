// Opens a plan in a running VS Code server, as a person would in a browser, and asserts on what is there.
//
//   node try.mjs BROWSER HOST:PORT FOLDER PICTURE WRONG HELP MEANS

import puppeteer from "puppeteer-core";

const [executablePath, at, folder, picture, wrong, help, means] = process.argv.slice(2);
const file = `vscode-remote://${at}${folder}/plan.updo`;
const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage();

// Waits until a function of the page says yes.
const awaits = async (what, test, ...args) => {
  try {
    await page.waitForFunction(test, { timeout: 60_000, polling: 200 }, ...args);
  } catch (why) {
    await page.screenshot({ path: picture });
    console.log(await page.evaluate(() => document.body.innerText));
    throw new Error(`${what}: ${why}`);
  }
};
// In the page. Spaces of the editor are such that do not break.
const has = (selector, ...texts) =>
  [...document.querySelectorAll(selector)].some((one) => texts.every((text) => one.innerText.replaceAll("\u00a0", " ").includes(text)));

// The middle of a word in the line with the mistake.
const place = (text) =>
  page.evaluate((text) => {
    const line = [...document.querySelectorAll(".view-line")].find((one) => one.innerText.includes("rollback"));
    const walk = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      const from = node.data.indexOf(text);
      if (from >= 0) {
        const range = document.createRange();
        range.setStart(node, from + 1);
        range.setEnd(node, from + 3);
        const { x, y, width, height } = range.getBoundingClientRect();
        return [x + width / 2, y + height / 2];
      }
    }
    throw new Error(`no ${text}`);
  }, text);

// With the mouse over a word, the text that appears.
const hover = async (word, ...texts) => {
  await page.mouse.move(5, 5);
  await new Promise((done) => setTimeout(done, 1000));
  const [x, y] = await place(word);
  await page.mouse.move(x - 2, y, { steps: 4 });
  await page.mouse.move(x, y, { steps: 4 });
  await awaits(`what is said of ${word}`, has, ".monaco-hover", ...texts);
};

try {
  await page.setViewport({ width: 1200, height: 700 });
  const payload = encodeURIComponent(JSON.stringify([["openFile", file]]));
  await page.goto(`http://${at}/?folder=${encodeURIComponent(folder)}&payload=${payload}`);
  await awaits("the question about trust", has, ".monaco-dialog-box", "Do you trust the authors");
  await page.keyboard.press("Enter");
  await awaits("the mistake is underlined", () => document.querySelectorAll(".squiggly-error").length === 1);
  await awaits("nothing is in the way", () => document.querySelector(".monaco-dialog-box") === null);

  // The grammar: words of statements, texts, comments and names have colours of their own.
  const colours = await page.evaluate(() =>
    ["plan", "Cart:", "mistake", "shop"].map((text) => {
      const all = [...document.querySelectorAll(".view-line span span")];
      const found = all.find((one) => one.innerText.includes(text));
      return found && getComputedStyle(found).color;
    }),
  );
  if (new Set(colours).size !== 4 || colours.includes(undefined)) throw new Error(`colours: ${colours}`);

  await hover("rollback", means);
  await hover("automatik", wrong, help);
  await page.screenshot({ path: picture });

  await page.mouse.click(...(await place("automatik")));
  await page.keyboard.down("Control");
  await page.keyboard.press(".");
  await page.keyboard.up("Control");
  await awaits("the quick fix", has, ".action-widget", "automatic");
  await page.keyboard.press("Enter");
  await awaits("the text is mended", has, ".view-line", "rollback automatic.");
  await awaits("and the server knows", () => document.querySelectorAll(".squiggly-error").length === 0);
  console.log(`== VS Code in ${await browser.version()}: trusted, coloured, diagnostic, hover, quick fix`);
} finally {
  await browser.close();
}
