"use strict";
// The network in plain JavaScript: Pillow's resize, then the same list of operators as the C export, channels innermost.

/** Shares of the source pixels that make up each new one, by Pillow's arithmetic. */
function tapsOf(size, out, kernel) {
  const factor = kernel === "box" ? 1 : Math.max(1, Math.floor(size / out / 2));
  const count = Math.ceil(size / factor);
  const scale = Math.fround(size / factor) / out, wide = Math.max(1, scale);
  const support = kernel === "box" ? 0.5 * wide : wide;
  const weigh = kernel === "box" ? (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) : (x) => Math.max(0, 1 - Math.abs(x));
  const taps = [];
  for (let x = 0; x < out; x++) {
    const centre = (x + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(count, Math.trunc(centre + support + 0.5));
    const shares = [];
    for (let i = first; i < end; i++) shares.push(weigh((i - centre + 0.5) * (1 / wide)));
    const total = shares.reduce((sum, share) => sum + share, 0);
    taps.push({ first, shares: shares.map((share) => Math.trunc(0.5 + (share / total) * 4194304)) });
  }
  return { size, factor, count, taps };
}

const rounded = (sum) => Math.min(255, Math.floor((sum + 2097152) / 4194304));

/** A row at its new width, into `out` from `corner` on. */
function shrinkRow(taps, width, row, out, corner) {
  for (let x = 0; x < width; x++) {
    const { first, shares } = taps[x];
    for (let c = 0; c < 3; c++) {
      let sum = 0;
      for (let i = 0; i < shares.length; i++) sum += shares[i] * row[3 * (first + i) + c];
      out[corner + 3 * x + c] = rounded(sum);
    }
  }
  return out;
}

/** Fill height x width pixels of `out` from `corner` on; `view` tells how to step through the source. */
function resize(view, sourceHeight, sourceWidth, height, width, kernel, out, corner, outWidth) {
  const down = tapsOf(sourceHeight, height, kernel), across = tapsOf(sourceWidth, width, kernel);
  const average = (y, x, into, place) => {
    const top = y * down.factor, tall = Math.min(down.factor, down.size - top);
    const left = x * across.factor, broad = Math.min(across.factor, across.size - left);
    const pixels = tall * broad, half = pixels >> 1;
    const inverse = Math.trunc(Math.fround(4294967296 / (pixels * 256)));
    let red = half, green = half, blue = half;
    for (let j = 0; j < tall; j++) {
      let p = view.origin + view.down * (top + j) + view.right * left;
      for (let i = 0; i < broad; i++, p += view.right) {
        red += view.data[p];
        green += view.data[p + 1];
        blue += view.data[p + 2];
      }
    }
    into[place] = Math.floor((red * inverse) / 16777216);
    into[place + 1] = Math.floor((green * inverse) / 16777216);
    into[place + 2] = Math.floor((blue * inverse) / 16777216);
  };
  // Pillow begins with the columns where it takes that for less work; each step is rounded, so the order shows.
  if (down.count > height && 2 * (across.count - width) < down.count - height) {
    const pixel = new Uint8Array(3), column = new Uint8Array(3 * across.count), sum = new Float64Array(3 * across.count);
    for (let y = 0; y < height; y++) {
      const { first, shares } = down.taps[y];
      sum.fill(0);
      for (let j = 0; j < shares.length; j++)
        for (let x = 0; x < across.count; x++) {
          average(first + j, x, pixel, 0);
          for (let c = 0; c < 3; c++) sum[3 * x + c] += shares[j] * pixel[c];
        }
      for (let x = 0; x < sum.length; x++) column[x] = rounded(sum[x]);
      shrinkRow(across.taps, width, column, out, corner + 3 * outWidth * y);
    }
    return;
  }
  const averaged = new Uint8Array(3 * across.count), rows = [];
  const newRow = (y) => {
    for (let x = 0; x < across.count; x++) average(y, x, averaged, 3 * x);
    return shrinkRow(across.taps, width, averaged, new Uint8Array(3 * width), 0);
  };
  for (let y = 0; y < height; y++) {
    const { first, shares } = down.taps[y];
    for (let i = 0; i < shares.length; i++) rows[first + i] ??= newRow(first + i);
    for (let x = 0; x < 3 * width; x++) {
      let sum = 0;
      for (let i = 0; i < shares.length; i++) sum += shares[i] * rows[first + i][x];
      out[corner + 3 * outWidth * y + x] = rounded(sum);
    }
    for (let i = 0; i < first; i++) rows[i] = undefined;
  }
}

/** Rounding to even at halves, as Python's. */
function roundEven(value) {
  const whole = Math.floor(value), rest = value - whole;
  return rest > 0.5 || (rest === 0.5 && whole % 2 === 1) ? whole + 1 : whole;
}

/**
 * The network's pixels, height x width x 3 bytes.
 * data: bytes of an upright image, `step` of them a pixel: 3 for RGB, 4 for RGBA (alpha is not looked at).
 */
function resizeToInput(model, data, width, height, step) {
  const { height: outHeight, width: outWidth, mode, kernel } = model;
  const out = new Uint8Array(3 * outHeight * outWidth);
  let view = { data, origin: 0, right: step, down: step * width };
  if (mode === "letterbox") {
    const scale = Math.min(outWidth / width, outHeight / height);
    const innerWidth = Math.max(1, roundEven(width * scale)), innerHeight = Math.max(1, roundEven(height * scale));
    const left = (outWidth - innerWidth) >> 1, top = (outHeight - innerHeight) >> 1;
    out.fill(114);
    resize(view, height, width, innerHeight, innerWidth, kernel, out, 3 * (outWidth * top + left), outWidth);
    return out;
  }
  if (mode === "landscape" && height > width) {
    // Turned by 90 degrees against the clock.
    view = { data, origin: step * (width - 1), right: step * width, down: -step };
    [width, height] = [height, width];
  }
  resize(view, height, width, outHeight, outWidth, kernel, out, 0, outWidth);
  return out;
}

function convolve(o, input, output, weights) {
  const { groups, window: w } = o, inputs = w.channels / groups, outputs = w.outChannels / groups;
  const sums = new Float64Array(outputs);
  for (let y = 0, place = 0; y < w.outHeight; y++)
    for (let x = 0; x < w.outWidth; x++)
      for (let g = 0; g < groups; g++, place += outputs) {
        for (let j = 0; j < outputs; j++) sums[j] = weights[o.bias + g * outputs + j];
        let k = o.weight + g * w.kernelHeight * w.kernelWidth * inputs * outputs;
        for (let ky = 0; ky < w.kernelHeight; ky++)
          for (let kx = 0; kx < w.kernelWidth; kx++) {
            const row = y * w.strideHeight - w.top + ky * w.dilationHeight;
            const column = x * w.strideWidth - w.left + kx * w.dilationWidth;
            if (row < 0 || row >= w.height || column < 0 || column >= w.width) {
              k += inputs * outputs;
              continue;
            }
            const p = (row * w.width + column) * w.channels + g * inputs;
            for (let c = 0; c < inputs; c++) {
              const value = input[p + c];
              for (let j = 0; j < outputs; j++) sums[j] += value * weights[k++];
            }
          }
        for (let j = 0; j < outputs; j++) output[place + j] = sums[j];
      }
}

function convolveDepthwise(o, input, output, weights) {
  const w = o.window, channels = w.channels;
  for (let y = 0, place = 0; y < w.outHeight; y++)
    for (let x = 0; x < w.outWidth; x++, place += channels) {
      for (let c = 0; c < channels; c++) output[place + c] = weights[o.bias + c];
      for (let ky = 0; ky < w.kernelHeight; ky++)
        for (let kx = 0; kx < w.kernelWidth; kx++) {
          const row = y * w.strideHeight - w.top + ky * w.dilationHeight;
          const column = x * w.strideWidth - w.left + kx * w.dilationWidth;
          if (row < 0 || row >= w.height || column < 0 || column >= w.width) continue;
          const k = o.weight + (ky * w.kernelWidth + kx) * channels, p = (row * w.width + column) * channels;
          for (let c = 0; c < channels; c++) output[place + c] += input[p + c] * weights[k + c];
        }
    }
}

function pool(o, input, output) {
  const w = o.window;
  for (let y = 0, place = 0; y < w.outHeight; y++)
    for (let x = 0; x < w.outWidth; x++)
      for (let c = 0; c < w.channels; c++, place++) {
        let best = -Infinity, sum = 0, count = 0;
        for (let ky = 0; ky < w.kernelHeight; ky++)
          for (let kx = 0; kx < w.kernelWidth; kx++) {
            const row = y * w.strideHeight - w.top + ky * w.dilationHeight;
            const column = x * w.strideWidth - w.left + kx * w.dilationWidth;
            if (row < 0 || row >= w.height || column < 0 || column >= w.width) continue;
            const value = input[(row * w.width + column) * w.channels + c];
            best = Math.max(best, value);
            sum += value;
            count++;
          }
        output[place] = o.max ? best : sum / (o.divisor || count);
      }
}

/** Error function (Abramowitz and Stegun 7.1.26 is too coarse: a series and a continued fraction). */
function erf(x) {
  const z = Math.abs(x);
  if (z > 6) return Math.sign(x);
  if (z < 2.5) {
    let term = z, sum = z;
    for (let n = 1; n < 60; n++) {
      term *= (-z * z) / n;
      sum += term / (2 * n + 1);
    }
    return Math.sign(x) * sum * 1.1283791670955126;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (z + fraction);
  return Math.sign(x) * (1 - Math.exp(-z * z) / (z + fraction) / 1.772453850905516);
}

const gate = (x) => Math.min(1, Math.max(0, x / 6 + 0.5));
const FUNCTIONS = {
  affine: (x, a, b) => a * x + b,
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  hardsigmoid: gate,
  hardswish: (x) => x * gate(x),
  leaky_relu: (x, a) => (x < 0 ? a * x : x),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  silu: (x) => x / (1 + Math.exp(-x)),
  tanh: Math.tanh,
};

/** Logits of the network's pixels. */
function logitsOf(model, pixels) {
  const arena = (model.arena ??= new Float32Array(model.size));
  const buffer = (number) => arena.subarray(model.places[number], model.places[number] + model.sizes[number]);
  const image = buffer(model.source);
  for (let i = 0; i < pixels.length; i++) image[i] = (pixels[i] / 255 - model.mean[i % 3]) / model.std[i % 3];
  for (const o of model.operators) {
    const [a, b] = o.inputs.map(buffer), output = buffer(o.output);
    if (o.kind === "convolve") convolve(o, a, output, model.weights);
    else if (o.kind === "depthwise") convolveDepthwise(o, a, output, model.weights);
    else if (o.kind === "pool") pool(o, a, output);
    else if (o.kind === "add") for (let i = 0; i < output.length; i++) output[i] = a[i] + b[i % b.length];
    else if (o.kind === "multiply") for (let i = 0; i < output.length; i++) output[i] = a[i] * b[i % b.length];
    else if (o.kind === "activate") {
      const [p, q] = o.parameters, f = FUNCTIONS[o.function];
      for (let i = 0; i < output.length; i++) output[i] = f(a[i], p, q);
    } else if (o.kind === "gather")
      o.channels.forEach(([taken, placed], number) => {
        const from = buffer(o.inputs[number]), pixelCount = output.length / o.outChannels;
        const width = from.length / pixelCount;
        for (let i = 0; i < pixelCount; i++)
          for (let j = 0; j < taken.length; j++) output[i * o.outChannels + placed[j]] = from[i * width + taken[j]];
      });
    const { low = -Infinity, high = Infinity } = o;
    if (low > -Infinity || high < Infinity)
      for (let i = 0; i < output.length; i++) output[i] = Math.min(high, Math.max(low, output[i]));
  }
  return Float32Array.from(buffer(model.result));
}

/** Probabilities of logits. */
function softmax(logits, temperature) {
  const largest = Math.max(...logits), powers = Array.from(logits, (x) => Math.exp((x - largest) / temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** The model ready to run: its weights come as base64 of little-endian float32. */
function openModel(content) {
  const bytes = Uint8Array.from(atob(content.weights), (letter) => letter.charCodeAt(0));
  return { ...content, weights: new Float32Array(bytes.buffer) };
}

/** Probabilities of an image, the class, and whether it is sure enough. */
function classify(model, data, width, height, step) {
  const probabilities = softmax(logitsOf(model, resizeToInput(model, data, width, height, step)), model.temperature);
  const best = probabilities.indexOf(Math.max(...probabilities));
  return { probabilities, best, known: probabilities[best] >= model.threshold };
}

if (typeof module !== "undefined") module.exports = { openModel, resizeToInput, logitsOf, softmax, classify };
