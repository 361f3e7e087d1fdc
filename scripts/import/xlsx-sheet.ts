/** A sheet as the library should find it, and the last row and column in which anything stands. */
export type PreparedSheet = { xml: string; lastRow: number; lastColumn: number };

// A prefix, since some programs write <x:c>; no < within a tag, so that a broken file is not searched again and again.
const tags = /<((?:\w+:)?(c|row))(\s[^<>]*?)?(\/?)>/g;
const blankRow = /<((?:\w+:)?row)(\s[^<>]*)?>\s*<\/\1>/g;

/**
 * Prepares the XML of a sheet: blank cells and rows go, which are nothing to the library but time; a cell in percent becomes a text
 * with its sign; a formula that failed becomes the text that is shown, and one without a result #CALC!.
 */
export function prepareSheet(xml: string, inPercent: Set<string>): PreparedSheet {
  const kept: string[] = [];
  let at = 0;
  let lastRow = 0;
  let lastColumn = 0;
  tags.lastIndex = 0;
  for (let tag = tags.exec(xml); tag; tag = tags.exec(xml)) {
    const [open, element = '', kind, attributes = '', isClosed] = tag;
    const reference = attribute(attributes, 'r');
    kept.push(xml.slice(at, tag.index));
    at = tags.lastIndex;
    if (isClosed && reference !== undefined) continue;
    if (isClosed || kind === 'row') {
      kept.push(open);
      continue;
    }
    const end = xml.indexOf(`</${element}>`, at);
    kept.push(end < 0 ? open : prepareCell(element, attributes, xml.slice(at, end), inPercent));
    if (end >= 0) at = tags.lastIndex = end;
    const [, column = '', row] = /^([A-Z]{1,3})([0-9]{1,7})$/.exec(reference ?? '') ?? [];
    lastColumn = Math.max(lastColumn, column === '' ? Infinity : numberOfColumn(column));
    lastRow = Math.max(lastRow, row === undefined ? Infinity : Number(row));
  }
  kept.push(xml.slice(at));
  const prepared = kept.join('').replace(blankRow, (row, _element, attributes = '') => (attribute(attributes, 'r') === undefined ? row : ''));
  for (const [, attributes = ''] of prepared.matchAll(/<(?:\w+:)?row(\s[^<>]*)?>/g)) lastRow = Math.max(lastRow, Number(attribute(attributes, 'r') ?? 0));
  return { xml: prepared, lastRow, lastColumn };
}

/** The cell up to its end tag. */
function prepareCell(element: string, attributes: string, inner: string, inPercent: Set<string>): string {
  const asText = (content: string) => `<${element}${attributes.replace(/\st\s*=\s*(?:"[^"]*"|'[^']*')/, '')} t="str">${content}`;
  const withText = (text: string) => asText(`<${element.slice(0, -1)}v>${text}</${element.slice(0, -1)}v>`);
  const type = attribute(attributes, 't') ?? 'n';
  if (type === 'e') return asText(inner);
  if (type !== 'n') return `<${element}${attributes}>${inner}`;
  const value = (/<(?:\w+:)?v(?:\s[^<>]*)?>([^<]*)</.exec(inner)?.[1] ?? '').trim();
  if (value === '' && /<(?:\w+:)?f[\s/>]/.test(inner)) return withText('#CALC!');
  const isPercent = value !== '' && inPercent.has(attribute(attributes, 's') ?? '0') && Number.isFinite(Number(value));
  return isPercent ? withText(percent(Number(value))) : `<${element}${attributes}>${inner}`;
}

/** Never with three decimals, which another column's numbers could make thousands of: 1.234 % is 1.2340%. */
function percent(share: number): string {
  const figures = (share * 100).toFixed(10).replace(/\.?0+$/, '');
  return `${/\.[0-9]{3}$/.test(figures) ? `${figures}0` : figures}%`;
}

/** The styles of cells whose format shows percent, by their place in the list, as cells name them. */
export function stylesInPercent(xml: string): Set<string> {
  const shown = new Set(['9', '10']);
  for (const [, attributes = ''] of xml.matchAll(/<(?:\w+:)?numFmt(\s[^<>]*)>/g)) {
    // Neither what stands in quotation marks, nor an escaped character, nor a colour.
    const code = (attribute(attributes, 'formatCode') ?? '').replace(/&quot;/g, '"').replace(/"[^"]*"|\\.|\[[^\]]*\]/g, '');
    if (code.includes('%')) shown.add(attribute(attributes, 'numFmtId') ?? '');
  }
  const from = xml.search(/<(?:\w+:)?cellXfs\b/);
  const until = xml.search(/<\/(?:\w+:)?cellXfs>/);
  const formats = from < 0 ? [] : [...xml.slice(from, until).matchAll(/<(?:\w+:)?xf(\s[^<>]*)?>/g)];
  return new Set(formats.flatMap(([, attributes = ''], style) => (shown.has(attribute(attributes, 'numFmtId') ?? '') ? [String(style)] : [])));
}

const patterns = new Map(['r', 's', 't', 'numFmtId', 'formatCode'].map((name) => [name, new RegExp(`\\s${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)')`)]));

function attribute(attributes: string, name: string): string | undefined {
  const found = patterns.get(name)?.exec(attributes);
  return found?.[1] ?? found?.[2];
}

function numberOfColumn(letters: string): number {
  return [...letters].reduce((number, letter) => number * 26 + letter.charCodeAt(0) - 64, 0);
}
