/** Of a take's budget, what its store has from when the take is sent. The rest is for deciding without it. */
export const STORE_SHARE = 0.7;
