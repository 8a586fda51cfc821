// Text to ids and back, one id a character; what the vocabulary lacks is replaced by rules, as modelcraft/tokenizer.py
// does, or left out. The rules are those of a tokenizer.json.
export class Tokenizer {
  constructor(vocabulary, rules) {
    this.characters = [...vocabulary];
    this.ids = new Map(this.characters.map((character, id) => [character, id]));
    this.rules = rules.map(({type, pattern, content}) => type === "Replace"
      ? text => text.replaceAll(pattern.String ?? new RegExp(pattern.Regex, "gu"), content)
      : text => text.normalize(type));
  }

  // Returns the ids, and the characters that were left out.
  encode(text) {
    if ([...text].some(character => !this.ids.has(character))) text = this.rules.reduce((now, rule) => rule(now), text);
    const characters = [...text];
    return {
      ids: characters.filter(one => this.ids.has(one)).map(one => this.ids.get(one)),
      left: [...new Set(characters.filter(one => !this.ids.has(one)))],
    };
  }

  decode(ids) {
    return ids.map(id => this.characters[id]).join("");
  }
}
