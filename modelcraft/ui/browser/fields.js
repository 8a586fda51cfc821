// The dials of the tab "In your browser" as the value of a component of the page: so its address holds and restores
// them. A static Space has no such component.

// `part` is a component as its script has it: its element, its properties, and how it follows and tells of its value.
export function follow({element, props, watch, trigger}) {
  const fields = [...element.querySelectorAll("input")];
  const show = () => {
    for (const field of fields) {
      const value = String(props.value?.[field.name] ?? field.defaultValue);
      if (field.value === value) continue;
      field.value = value;
      field.dispatchEvent(new Event("input"));  // which does not bubble: what stands beside a dial follows, no more
    }
  };
  element.addEventListener("input", () => {
    const said = field => [field.name, field.type === "range" ? Number(field.value) : field.value];
    props.value = Object.fromEntries(fields.map(said));
    trigger("input");
  });
  show();
  watch("value", show);
}
