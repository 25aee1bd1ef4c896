export const STYLES = `
button {
  position: relative; display: flex; align-items: center; justify-content: center; gap: 8px; min-width: 56px; height: 56px;
  padding: 0 16px; margin: 0; border: 0; border-radius: 28px; cursor: pointer; background: var(--color);
  color: var(--on-color); font: 600 16px/1 system-ui, sans-serif; box-shadow: 0 4px 18px rgb(0 0 0 / 25%);
}
button:focus-visible { outline: 3px solid var(--color); outline-offset: 3px; box-shadow: 0 0 0 3px Canvas; }
svg { width: 26px; height: 26px; fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; }
img { width: 28px; height: 28px; border-radius: 50%; object-fit: cover; }
.badge {
  position: absolute; top: -4px; right: -4px; min-width: 20px; padding: 4px; border-radius: 10px; background: #b42318;
  color: #fff; font-size: 12px; text-align: center; box-sizing: border-box;
}
[hidden] { display: none !important; }
.panel {
  position: absolute; bottom: 72px; width: min(400px, calc(100vw - 40px)); height: min(640px, calc(100vh - 120px));
  overflow: hidden; border-radius: var(--radius); background: Canvas; box-shadow: 0 8px 40px rgb(0 0 0 / 28%);
  animation: rise .18s ease-out;
}
:host([data-side=right]) .panel { right: 0; }
:host([data-side=left]) .panel { left: 0; }
iframe { width: 100%; height: 100%; border: 0; }
@keyframes rise { from { opacity: 0; transform: translateY(8px); } }
@media (prefers-reduced-motion: reduce) { .panel { animation: none; } }
@media (max-width: 640px) {
  .panel { position: fixed; inset: 0; width: 100%; height: 100%; border-radius: 0; }
  :host([data-open]) button { display: none; }
}`;
