"use strict";
// Logits of raw RGB images, for tests: node node.js network.js model.json images.bin
// images.bin holds, for each image, width and height as int32 and its RGB bytes; logits and times go to stdout as JSON.

const fs = require("fs");
const [code, content, images] = process.argv.slice(2);
const { openModel, resizeToInput, logitsOf } = require(code);
const model = openModel(JSON.parse(fs.readFileSync(content, "utf8")));
const bytes = fs.readFileSync(images);
const logits = [], milliseconds = [], pixels = [];
for (let place = 0; place < bytes.length; ) {
  const width = bytes.readInt32LE(place), height = bytes.readInt32LE(place + 4);
  const size = 3 * width * height;
  const small = resizeToInput(model, bytes.subarray(place + 8, place + 8 + size), width, height, 3);
  const start = performance.now();
  logits.push(Array.from(logitsOf(model, small)));
  milliseconds.push(performance.now() - start);
  pixels.push(Buffer.from(small).toString("base64"));
  place += 8 + size;
}
process.stdout.write(JSON.stringify({ logits, milliseconds, pixels }));
