// Whether a text is well-formed XML, as far as charts use XML: elements, attributes, text, entities.

/** What is wrong; undefined where nothing is. */
export function checkXml(xml: string): string | undefined {
  const open: string[] = [];
  let at = 0;
  let roots = 0;
  const tag =
    /<(?:(\/)([\w:-]+)\s*>|([\w:-]+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/)?>|!\[CDATA\[.*?\]\]>|!--.*?-->)/gsy;
  while (at < xml.length) {
    const next = xml.indexOf('<', at);
    const text = xml.slice(at, next < 0 ? xml.length : next);
    const entity = /&(?!(?:amp|lt|gt|quot|apos|#\d+);)/.exec(text);
    if (entity) return `a bare & near ${text.slice(entity.index, entity.index + 20)}`;
    if (text.trim() !== '' && open.length === 0) return `text outside: ${text.trim().slice(0, 20)}`;
    if (next < 0) break;
    tag.lastIndex = next;
    const found = tag.exec(xml);
    if (!found) return `no tag: ${xml.slice(next, next + 60)}`;
    const [, isEnd, endName, name, attributes = '', isEmpty] = found;
    if (/&(?!(?:amp|lt|gt|quot|apos|#\d+);)/.test(attributes)) return `a bare & in ${attributes}`;
    if (isEnd !== undefined) {
      const expected = open.pop();
      if (expected !== endName) return `</${endName}> closes <${expected}>`;
    } else if (name !== undefined) {
      if (open.length === 0) roots++;
      if (isEmpty === undefined) open.push(name);
    }
    at = tag.lastIndex;
  }
  if (open.length > 0) return `<${open.at(-1)}> is not closed`;
  return roots === 1 ? undefined : `${roots} roots`;
}
