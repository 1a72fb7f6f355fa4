/** A raised floor: the deck, its pedestals, and what runs beneath. */
export function Logo() {
  return (
    <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true" focusable="false">
      <path d="M3 6h26v6H3z" fill="var(--p-nav-mark)" />
      <path d="M6 12v13M26 12v13M16 12v13" stroke="var(--p-nav-text-2)" strokeWidth="2.4" />
      <path d="M3 25.500h26" stroke="var(--p-nav-text-2)" strokeWidth="2.4" />
      <path d="M9 20h4M19 20h4" stroke="#e0a84a" strokeWidth="2.4" strokeLinecap="round" />
    </svg>
  );
}
