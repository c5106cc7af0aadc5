/** Ids that the host product gives: printable ASCII without spaces, commas and quotes, since they travel in headers. */
const IDENTIFIER = /^[!#-&(-+\--~]{1,128}$/;

export function isIdentifier(text: string): boolean {
  return IDENTIFIER.test(text);
}
