// What is the same in a component and in a test, but for who answers: a test puts its own clock here.
let clock = () => Date.now();

/** Now. */
export const clockNow = () => clock();

/** For the fake platform. */
export function setClock(f) {
  clock = f;
}
