const element = (id) => document.getElementById(id);
const [stage, picture, video, small] = ["stage", "picture", "video", "small"].map(element);
let stream = null;

const millions = (count) => (count / 1e6).toFixed(2) + " M";
element("facts").textContent =
  `${MODEL.classes.length} classes · ${millions(MODEL.macs)} MACs · ${millions(MODEL.parameters)} parameters · ` +
  `sees ${MODEL.width} × ${MODEL.height} pixels`;
small.width = MODEL.width;
small.height = MODEL.height;

function say(message) {
  element("message").textContent = message;
}

/** Draw the source at its full size on white, classify its pixels, and show the answer. */
function look(source, width, height) {
  picture.width = width;
  picture.height = height;
  const context = picture.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const start = performance.now();
  const pixels = resizeToInput(MODEL, data, width, height, 4);
  const resized = performance.now();
  const logits = logitsOf(MODEL, pixels);
  const end = performance.now();
  show(logits, pixels, resized - start, end - resized);
  window.lastLogits = Array.from(logits);
}

function show(logits, pixels, resizing, network) {
  const probabilities = softmax(logits, MODEL.temperature);
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, 3);
  const known = probabilities[order[0]] >= MODEL.threshold;
  element("label").textContent = known ? MODEL.classes[order[0]] : "unknown";
  element("label").classList.toggle("unknown", !known);
  element("bars").replaceChildren(
    ...order.map((number) => {
      const row = document.createElement("li"), name = document.createElement("span");
      const share = document.createElement("span"), bar = document.createElement("i");
      name.textContent = MODEL.classes[number];
      share.textContent = (100 * probabilities[number]).toFixed(1) + " %";
      bar.style.setProperty("--share", 100 * probabilities[number] + "%");
      row.append(name, share, bar);
      return row;
    }),
  );
  const seen = small.getContext("2d"), image = seen.createImageData(MODEL.width, MODEL.height);
  for (let i = 0; i < MODEL.width * MODEL.height; i++)
    image.data.set([pixels[3 * i], pixels[3 * i + 1], pixels[3 * i + 2], 255], 4 * i);
  seen.putImageData(image, 0, 0);
  element("time").textContent = `what the network sees; ${network.toFixed(1)} ms, and ${resizing.toFixed(1)} ms to shrink the picture`;
  element("hint").hidden = true;
  stage.classList.add("filled");
}

async function open(file) {
  if (!file) return;
  stopCamera();
  try {
    // Pixels as they are in the file, as the training read them: no colour management.
    const image = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    look(image, image.width, image.height);
    picture.hidden = false;
    say("");
  } catch {
    say(`${file.name || "What was pasted"} is no picture that this browser can read.`);
  }
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  video.hidden = true;
  element("camera").setAttribute("aria-pressed", "false");
}

async function startCamera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    say(`There is no camera to be had here (${error.name ?? error}).`);
    return;
  }
  say("");
  video.srcObject = stream;
  await video.play();
  picture.hidden = true;
  video.hidden = false;
  element("camera").setAttribute("aria-pressed", "true");
  const frame = () => {
    if (!stream) return;
    if (video.videoWidth) look(video, video.videoWidth, video.videoHeight);
    requestAnimationFrame(frame);
  };
  frame();
}

element("camera").addEventListener("click", () => (stream ? stopCamera() : startCamera()));
element("file").addEventListener("change", (event) => {
  open(event.target.files[0]);
  event.target.value = "";
});
element("choose").addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    element("file").click();
  }
});
document.addEventListener("paste", (event) => open(event.clipboardData.files[0]));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  stage.classList.add("over");
});
document.addEventListener("dragleave", () => stage.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  stage.classList.remove("over");
  open(event.dataTransfer.files[0]);
});
