// Prices from text: a table with commas, semicolons or tabs, with or without a line of names.

const KNOWN = {
  date: ["date", "ds", "time", "timestamp", "day", "datetime"],
  open: ["open", "o"],
  high: ["high", "h", "max"],
  low: ["low", "l", "min"],
  close: ["close", "c", "last", "price", "adj close", "adj_close", "y", "value"],
  volume: ["volume", "vol", "v"],
  series: ["series", "symbol", "ticker", "unique_id", "name"],
};
const MOST = 2000; // bars that are sent

// A number as people write it; with semicolons between, a comma may stand for the point.
function numberOf(cell, separator) {
  const text = separator === ";" ? cell.replace(",", ".") : cell;
  return text === "" ? NaN : Number(text);
}

function cellsOf(line, separator) {
  return line.split(separator).map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
}

function columnsOf(cells) {
  const names = cells.map((cell) => cell.toLowerCase());
  const found = {};
  for (const [column, known] of Object.entries(KNOWN)) {
    const name = known.find((each) => names.includes(each));
    if (name !== undefined) found[column] = names.indexOf(name);
  }
  return found;
}

// Columns of a table without a line of names, by how many of its cells are numbers.
function guessed(cells, separator) {
  const isNumber = cells.map((cell) => !Number.isNaN(numberOf(cell, separator)));
  const numbers = cells.map((_, at) => at).filter((at) => isNumber[at]);
  const found = isNumber[0] ? {} : { date: 0 };
  if (numbers.length >= 5) {
    ["open", "high", "low", "close", "volume"].forEach((name, at) => { found[name] = numbers[at]; });
  } else if (numbers.length === 4) {
    ["open", "high", "low", "close"].forEach((name, at) => { found[name] = numbers[at]; });
  } else if (numbers.length) found.close = numbers.at(-1);
  return found;
}

// Reads text; returns {series: {name: {dates, bars}}, complete, notes}, or throws an Error that says
// what to change. `bars` are [open, high, low, close, volume]; `complete` if all but volume came.
export function read(text) {
  const lines = text.split(/\r?\n/).map((line, at) => [at + 1, line]).filter(([, line]) => line.trim());
  if (!lines.length) throw new Error("There are no prices yet: paste rows, drop a CSV file, or use the example.");
  const separator = [";", "\t", ","].find((each) => lines[0][1].includes(each)) ?? ",";
  const first = cellsOf(lines[0][1], separator);
  const named = first.every((cell) => Number.isNaN(numberOf(cell, separator))) && lines.length > 1;
  const columns = named ? columnsOf(first) : guessed(first, separator);
  if (columns.close === undefined) {
    throw new Error(`No column of closing prices was found in "${lines[0][1].slice(0, 80)}"; call it close.`);
  }
  const found = seriesOf(named ? lines.slice(1) : lines, columns, separator);
  const notes = Object.values(found).flatMap(ordered);
  const complete = ["open", "high", "low"].every((name) => columns[name] !== undefined);
  return { series: found, complete, notes: [...new Set(notes)] };
}

function seriesOf(lines, columns, separator) {
  const found = {};
  for (const [line, text] of lines) {
    const cells = cellsOf(text, separator);
    const value = (column) => {
      const at = columns[column];
      if (at === undefined) return column === "volume" ? 0 : null;
      const number = numberOf(cells[at] ?? "", separator);
      if (Number.isNaN(number)) throw new Error(`Line ${line}: "${cells[at] ?? ""}" is no number (${column}).`);
      return number;
    };
    const close = value("close");
    const bar = ["open", "high", "low"].map((column) => value(column) ?? close);
    const name = columns.series === undefined ? "" : cells[columns.series];
    found[name] ??= { dates: [], bars: [] };
    found[name].dates.push(columns.date === undefined ? "" : cells[columns.date].slice(0, 10));
    found[name].bars.push([...bar, close, value("volume")]);
  }
  return found;
}

// Brings one series into the order of its dates, and to a length that is sent; returns notes.
function ordered(one) {
  const notes = [];
  const sortable = one.dates.every((date) => /^\d{4}-\d\d-\d\d$/.test(date));
  if (sortable && one.dates.some((date, at) => at && date < one.dates[at - 1])) {
    const order = one.dates.map((_, at) => at).sort((left, right) => (one.dates[left] < one.dates[right] ? -1 : 1));
    one.bars = order.map((at) => one.bars[at]);
    one.dates = order.map((at) => one.dates[at]);
    notes.push("The rows were not in the order of their dates; they were sorted, oldest first.");
  }
  if (one.bars.length > MOST) {
    notes.push(`Only the last ${MOST} bars of ${one.bars.length} are sent.`);
    one.bars = one.bars.slice(-MOST);
    one.dates = one.dates.slice(-MOST);
  }
  return notes;
}

// Sixty bars that nobody traded, the same ones every time.
export function example() {
  const rows = ["date,open,high,low,close,volume"];
  const day = new Date(Date.UTC(2024, 0, 2));
  let close = 100;
  for (let row = 0; row < 60; row++) {
    while ([0, 6].includes(day.getUTCDay())) day.setUTCDate(day.getUTCDate() + 1);
    const open = close;
    close *= 1 + 0.011 * Math.sin(row * 2.39) + 0.006 * Math.sin(row / 6.5) + 0.001;
    const [high, low] = [1.004 * Math.max(open, close), 0.996 * Math.min(open, close)];
    const prices = [open, high, low, close].map((price) => price.toFixed(2));
    rows.push([day.toISOString().slice(0, 10), ...prices, 12000 + ((row * 7919) % 9000)].join(","));
    day.setUTCDate(day.getUTCDate() + 1);
  }
  return rows.join("\n");
}
