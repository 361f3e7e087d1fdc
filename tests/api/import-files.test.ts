import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { afterAll, describe, expect, test } from 'vitest';
import { readRoster, type Roster } from '../../scripts/import/roster-file.ts';
import { UnreadableRoster, type ReadOptions } from '../../scripts/import/table.ts';
import { projectRoot } from '../../scripts/stack/paths.ts';

const folder = mkdtempSync(join(tmpdir(), 'vicinia-rosters-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function file(content: string | Uint8Array, extension = 'csv'): string {
  const path = join(folder, `${(files += 1)}.${extension}`);
  writeFileSync(path, content);
  return path;
}
const read = (content: string | Uint8Array, options?: ReadOptions): Promise<Roster> => readRoster(file(content), options);
const workbook = join(projectRoot, 'data/rosters/queretaro-los-encinos.xlsx');

const text = (reference: string, content: string, prefix = ''): string => `<${prefix}c r="${reference}" t="inlineStr"><${prefix}is><${prefix}t>${content}</${prefix}t></${prefix}is></${prefix}c>`;
const head = `<row r="1">${text('A1', 'Unit')}${text('B1', 'Since')}</row>`;

/** A workbook with these rows in its first sheet. Styles: 1 a day, 2 to 4 percent, 5 with a percent sign that is text. */
function xlsx(rows: string, { second = '', shared = '', prefix = '', properties = '', doctype = '', sheets = ['S', 'T'] } = {}): string {
  const main = 'http://schemas.openxmlformats.org/spreadsheetml/2006/main';
  const office = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships';
  const relations = (...targets: [id: string, type: string, target: string][]) =>
    `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">${
      targets.map(([id, type, target]) => `<Relationship Id="${id}" Type="${office}/${type}" Target="${target}"/>`).join('')
    }</Relationships>`;
  const sheet = (content: string) => `${doctype}<${prefix}worksheet xmlns${prefix && ':x'}="${main}"><${prefix}sheetData>${content}</${prefix}sheetData></${prefix}worksheet>`;
  const parts = {
    '[Content_Types].xml': '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
    '_rels/.rels': relations(['a', 'officeDocument', 'xl/workbook.xml']),
    'xl/workbook.xml': `<workbook xmlns="${main}" xmlns:r="${office}">${properties}<sheets>${sheets.map((name, n) => `<sheet name="${name}" sheetId="${n + 1}" r:id="s${n + 1}"/>`).join('')}</sheets></workbook>`,
    'xl/_rels/workbook.xml.rels': relations(['s1', 'worksheet', 'worksheets/sheet1.xml'], ['s2', 'worksheet', 'worksheets/sheet2.xml'], ['b', 'styles', 'styles.xml'], ['c', 'sharedStrings', 'sharedStrings.xml']),
    'xl/styles.xml': `<styleSheet xmlns="${main}"><numFmts><numFmt numFmtId="164" formatCode="[Red]0.000\\ %"/><numFmt numFmtId="165" formatCode="0.00&quot; %&quot;"/></numFmts><cellStyleXfs><xf numFmtId="9"/></cellStyleXfs>${
      `<cellXfs>${['0', '14', '9', '10', '164', '165'].map((format) => `<xf numFmtId="${format}"/>`).join('')}</cellXfs>`
    }</styleSheet>`,
    'xl/sharedStrings.xml': `<sst xmlns="${main}">${shared}</sst>`,
    'xl/worksheets/sheet1.xml': sheet(rows),
    'xl/worksheets/sheet2.xml': sheet(second),
  };
  return file(zipSync(Object.fromEntries(Object.entries(parts).map(([path, xml]) => [path, Buffer.from(xml)]))), 'xlsx');
}

describe('a CSV file is read as whoever made it sees it', () => {
  test.each([
    ['commas', 'Unit,Name\n1,Ana\n2,Boris\n'],
    ['semicolons', 'Unit;Name\n1;Ana\n2;Boris\n'],
    ['tabs', 'Unit\tName\n1\tAna\n2\tBoris\n'],
    ['bars', 'Unit|Name\n1|Ana\n2|Boris\n'],
    ['commas', '\ufeffUnit,Name\r\n1,Ana\r\n2,Boris'],
    ['semicolons', 'sep=;\r\nUnit;Name\r\n1;Ana\r\n2;Boris\r\n'],
  ])('with %s', async (mark, content) => {
    expect(await read(content)).toEqual({ headers: ['Unit', 'Name'], rows: [['1', 'Ana'], ['2', 'Boris']], firstRow: 2, format: `CSV, ${mark}` });
  });

  test('decimal commas do not make a comma the delimiter', async () => {
    expect((await read('Ап;Площ;Дял\n1;71,50;0,5\n2;64,25;0,7\n')).headers).toEqual(['Ап', 'Площ', 'Дял']);
  });

  test('a delimiter that is named is used', async () => {
    expect(await read('a;b,c;d\n', { delimiter: ',' })).toMatchObject({ headers: ['a;b', 'c;d'] });
  });

  test('quoted cells hold delimiters, quotation marks and lines; others may begin with a quotation mark', async () => {
    const { rows } = await read('Unit,Name,Note\n1,"Petrov, Ivan","says ""no""\nand again"\n2,"Invest Dom" EOOD,x\n');
    expect(rows).toEqual([['1', 'Petrov, Ivan', 'says "no"\nand again'], ['2', '"Invest Dom" EOOD', 'x']]);
  });

  test('rows keep their numbers: blank ones count, and so does what stands above the headers', async () => {
    const { headers, rows, firstRow } = await read('Roster of Lipa Court\n\nUnit,Name\n1,Ana\n\n2,Boris\n');
    expect({ headers, firstRow }).toEqual({ headers: ['Unit', 'Name'], firstRow: 4 });
    expect(rows[2]).toEqual(['2', 'Boris']);
  });

  test.each([
    ['Unit,Name\r1,Ana\r2,Boris\r'],
    ['Unit,Name\r\n1,Ana\n2,Boris\n'],
    ['Unit,Name\n1,Ana\r\n2,Boris\r'],
    ['sep=,\rUnit,Name\r1,Ana\r2,Boris'],
  ])('every way to end a line ends one, also in a file that mixes them: %j', async (content) => {
    expect(await read(content)).toMatchObject({ headers: ['Unit', 'Name'], rows: [['1', 'Ana'], ['2', 'Boris']], firstRow: 2 });
  });

  test('a line that ends between two pieces of the file ends once', async () => {
    const before = 'Unit,Name\r\n1,';
    for (const size of [64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1]) {
      expect((await read(`${before}${'y'.repeat(size - before.length - 1)}\r\n2,Boris\r\n`)).rows.map(([unit]) => unit)).toEqual(['1', '2']);
    }
  });

  test('blank rows at the end count for nothing', async () => {
    expect((await read(`Unit,Name\n1,Ana\n${',\n'.repeat(30_000)}`)).rows).toEqual([['1', 'Ana']]);
  });

  test('the row of the headers can be named', async () => {
    expect(await read('a,b\nUnit,Name\n1,Ana\n', { headerRow: 2 })).toMatchObject({ headers: ['Unit', 'Name'], firstRow: 3 });
    await expect(read('a,b\n', { headerRow: 7 })).rejects.toThrow('has no row 7');
  });

  test('progress goes from the beginning to the end', async () => {
    const shares: number[] = [];
    await read(`Unit,Name\n${'1,Ana\n'.repeat(40_000)}`, { onProgress: (share) => shares.push(share) });
    expect(shares.length).toBeGreaterThan(2);
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
    expect(shares.at(-1)).toBe(1);
  });

  test('UTF-16 with its mark, as Excel saves "Unicode text", is read', async () => {
    expect((await read(Buffer.from('\ufeffUnit\tИме\n1\tАна\n', 'utf16le'))).rows).toEqual([['1', 'Ана']]);
  });

  test('another encoding is refused, naming the line, and never guessed', async () => {
    const windows1251 = Buffer.concat([Buffer.from('Unit,Name\n1,Ana\n2,'), Buffer.from([0xc8, 0xe2, 0xe0, 0xed]), Buffer.from('\n')]);
    const refusal = await read(windows1251).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(UnreadableRoster);
    expect((refusal as Error).message).toMatch(/not in UTF-8 \(see line 3\).*save it again as "CSV UTF-8"/);
  });

  test('bytes of zero are refused, as of UTF-16 without its mark', async () => {
    await expect(read(Buffer.from('Unit\tName\n1\tAna\n', 'utf16le'))).rejects.toThrow('bytes that are zero');
  });

  test('every letter comes in whole, wherever in the file it stands', async () => {
    const fill = 'Unit,Name\n1,';
    for (const before of [64 * 1024 - 3, 64 * 1024 - 2, 64 * 1024 - 1]) {
      const { rows } = await read(`${fill}${'y'.repeat(before - fill.length)}𠮷田\n`);
      expect(String(rows[0]?.[1]).slice(-3)).toBe('𠮷田');
    }
  });

  test.each([
    ['an empty file', ''],
    ['a file of blanks', '\n \n,,\n'],
  ])('%s is refused', async (_what, content) => {
    await expect(read(content)).rejects.toThrow('is empty');
  });

  test('a missing file is refused', async () => {
    await expect(readRoster(join(folder, 'nowhere.csv'))).rejects.toThrow('There is no file');
    await expect(readRoster(folder)).rejects.toThrow('is a folder');
  });
});

describe('an Excel file is read as its cells are', () => {
  test('the headers are found below the title; numbers are numbers, dates days, blanks nothing', async () => {
    const { headers, rows, firstRow, format } = await readRoster(workbook);
    expect({ firstRow, format }).toEqual({ firstRow: 4, format: 'Excel, first sheet' });
    expect(headers.slice(0, 5)).toEqual(['Calle', 'Casa', 'Tipo', 'Modelo', 'Superficie (m²)']);
    const row = rows[0] ?? [];
    expect(row.slice(0, 2)).toEqual(['Calle Encino', 1]);
    expect(typeof row[4]).toBe('number');
    expect(row[headers.indexOf('Desde')]).toMatch(/^\d{4}-\d{2}-\d{2}$/);
    expect(row[headers.indexOf('Hasta')]).toBeNull();
  });

  test('a sheet can be named; one that is not there is refused with the names of those that are', async () => {
    expect((await readRoster(workbook, { sheet: 'Notas' })).headers).toEqual(['Concepto', 'Nota']);
    await expect(readRoster(workbook, { sheet: 'Hoja1' })).rejects.toThrow('has no sheet Hoja1. Its sheets are: Padrón, Notas.');
  });

  test('a formula that failed is told as the sheet shows it, not taken for a blank; so is a day beyond the calendar', async () => {
    const cells = [
      '<row r="1"><c r="A1" t="inlineStr"><is><t>Unit</t></is></c><c r="B1" t="inlineStr"><is><t>Since</t></is></c></row>',
      '<row r="2"><c r="A2"><v>1</v></c><c r="B2" t="e"><f>A9</f><v>#REF!</v></c></row>',
      '<row r="3"><c r="A3" t="e"><v>#N/A</v></c><c r="B3" s="1"><v>99999999999</v></c></row>',
      '<row r="4"><c r="A4"><v>1e400</v></c><c r="B4" s="1"><v>43831</v></c></row>',
    ];
    expect((await readRoster(xlsx(cells.join('')))).rows).toEqual([[1, '#REF!'], ['#N/A', '#####'], ['Infinity', '2020-01-01']]);
  });

  test('the same of programs that write their XML in another way', async () => {
    const cells = `<x:row r="1">${text('A1', 'Unit', 'x:')}${text('B1', 'Area', 'x:')}</x:row><x:row r="2"><x:c t='e' r='A2'><x:v>#REF!</x:v></x:c><x:c r="B2"><x:v>7</x:v></x:c></x:row>`;
    expect((await readRoster(xlsx(cells, { prefix: 'x:' }))).rows).toEqual([['#REF!', 7]]);
  });

  test('a formula that nobody worked out is no blank', async () => {
    const formulas = '<c r="A2"><f>1+1</f></c><c r="B2"><f>1+1</f><v></v></c><c r="C2"><f>1+1</f><v>2</v></c><c r="D2" t="str"><f>""</f><v></v></c>';
    expect((await readRoster(xlsx(`${head}<row r="2">${formulas}</row>`))).rows).toEqual([['#CALC!', '#CALC!', 2]]);
  });

  test('what is shown in percent has its sign, and can be no thousands', async () => {
    const shares = ['0.5', '0.0125', '0.01234', '0.3333333333', '1', '-0.07', '0'].map((value, n) => `<row r="${n + 2}"><c r="A${n + 2}" s="${2 + (n % 3)}"><v>${value}</v></c><c r="B${n + 2}" s="5"><v>${value}</v></c></row>`);
    const { rows } = await readRoster(xlsx(`${head}${shares.join('')}`));
    expect(rows.map(([share]) => share)).toEqual(['50%', '1.25%', '1.2340%', '33.33333333%', '100%', '-7%', '0%']);
    expect(rows[0]?.[1]).toBe(0.5);
  });

  test.each(['1', 'true'])('days are counted from 1904 where the workbook says so (%s)', async (says) => {
    const { rows } = await readRoster(xlsx(`${head}<row r="2"><c r="A2"><v>1</v></c><c r="B2" s="1"><v>42369</v></c></row>`, { properties: `<workbookPr backupFile="false" date1904="${says}"/>` }));
    expect(rows).toEqual([[1, '2020-01-01']]);
  });

  test('what JSON cannot carry becomes what the import refuses', async () => {
    expect((await readRoster(xlsx(`${head}<row r="2">${text('A2', 'a_x0000_b')}${text('B2', '_xD800_ _xD83D__xDE00_')}</row>`))).rows).toEqual([['a\u001ab', '\u001a 😀']]);
  });

  test('blank cells and rows, however many, take no time', { timeout: 20_000 }, async () => {
    const blanks = Array.from({ length: 300_000 }, (_, n) => (n % 3 ? `<row r="${n + 3}" ht="12"/>` : `<row r="${n + 3}"><c r="A${n + 3}" s="1"/><c r="XFD${n + 3}" s="1"/></row>`));
    expect((await readRoster(xlsx(`${head}<row r="2">${text('A2', '1')}</row>${blanks.join('')}`))).rows).toEqual([['1']]);
  });

  test('a cell far from the list is refused before memory runs out, unless it is on another sheet', async () => {
    for (const [row, cell] of [['1048576', 'XFD1048576'], ['1000000000', 'A1000000000'], ['2', 'ZZZZZZZ2'], ['2', 'zzzzzzz2'], ['1e300', 'A2']]) {
      const sheet = `${head}<row r="${row}">${text(cell ?? '', 'x')}</row>`;
      await expect(readRoster(xlsx(sheet))).rejects.toThrow(/reaches to row|does not say where it stands/);
      expect((await readRoster(xlsx(`${head}<row r="2">${text('A2', '1')}</row>`, { second: sheet }))).rows).toEqual([['1']]);
    }
  });

  test('a workbook that unpacks to more than any roster is refused, and so is one text in a million cells', async () => {
    const bomb = readFileSync(xlsx(head));
    // Where the directory of the zip tells how large its first part is.
    bomb.writeUInt32LE(210 * 1024 * 1024, bomb.indexOf('PK\u0001\u0002') + 24);
    await expect(read(bomb)).rejects.toThrow('larger than 200 MB when it is unpacked');
    const shared = `<si><t>${'x'.repeat(100_000)}</t></si>`;
    const repeated = Array.from({ length: 1000 }, (_, n) => `<row r="${n + 2}"><c r="A${n + 2}" t="s"><v>0</v></c></row>`);
    await expect(readRoster(xlsx(`${head}${repeated.join('')}`, { shared }))).rejects.toThrow('holds more than 50 MB of text');
  });

  test('entities of its own mean nothing', async () => {
    const doctype = '<!DOCTYPE w [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>';
    expect((await readRoster(xlsx(`${head}<row r="2">${text('A2', '&b;')}</row>`, { doctype }))).rows).toEqual([['&b;']]);
  });

  test('what is no workbook is refused in a sentence', async () => {
    await expect(readRoster(file(Buffer.from([0xd0, 0xcf, 0x11, 0xe0, 0xa1]), 'xls'))).rejects.toThrow('workbook of the old kind');
    await expect(readRoster(file(Buffer.from('PK\u0003\u0004 and then nothing'), 'xlsx'))).rejects.toThrow('cannot be read as an Excel workbook');
    await expect(readRoster(xlsx(head, { sheets: [] }))).rejects.toThrow('has no sheets');
    await expect(readRoster(xlsx('<row r="1"><c r="A1"><v>1'))).rejects.toThrow('cannot be read as an Excel workbook');
  });
});

describe('the rosters that are shipped', () => {
  test.each(['sofia-lozenets.csv', 'queretaro-los-encinos.xlsx', 'bengaluru-palm-meadows.csv', 'chiang-mai-doi-view.csv'])('%s names nobody who could exist', (name) => {
    const addresses = readFileSync(join(projectRoot, 'data/rosters', name), 'utf8').match(/[^\s,;"@]+@[^\s,;"]+/g) ?? [];
    expect(addresses.filter((address) => !address.endsWith('.example') && !name.endsWith('.xlsx'))).toEqual([]);
  });
});
