// Names by chance, also on pages that are not secure, where crypto.randomUUID is missing.
export function randomName(length) {
  return [...crypto.getRandomValues(new Uint8Array(length))].map((byte) => (byte % 36).toString(36)).join("");
}
