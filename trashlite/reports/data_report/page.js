// Verdicts are kept in the page only, until they are saved as relabel.csv. One file may be shown twice: both follow.
const selects = [...document.querySelectorAll("select[data-file]")];
const verdicts = new Map();
const count = document.getElementById("count");
const cell = text => /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
for (const select of selects) select.addEventListener("change", () => {
  const file = select.dataset.file;
  if (select.value) verdicts.set(file, select.value); else verdicts.delete(file);
  for (const other of selects) if (other.dataset.file === file) other.value = select.value;
  count.textContent = verdicts.size;
});
document.getElementById("save")?.addEventListener("click", () => {
  const rows = ["file,label", ...[...verdicts].map(([file, label]) => cell(file) + "," + cell(label))];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([rows.join("\n") + "\n"], {type: "text/csv"}));
  link.download = "relabel.csv";
  link.click();
});
