// Colours by what they stand for. `light` and `dark` are for screens; `print` has none and tells
// special parts by a heavy stroke and layers by shades of grey.

/** Half of them for sorts of attention, the others for sorts of feed-forward. */
export const SHADES = 6;

export type Paint =
  | 'page' | 'panel' | 'block' | 'frame' | 'norm' | 'attention' | 'feedForward' | 'plain' | 'special' | 'add' | 'difference' | 'empty'
  | `shade${number}`;

export type ThemeName = 'light' | 'dark' | 'print';

export interface Theme {
  readonly paints: Readonly<Record<Exclude<Paint, `shade${number}`>, { readonly fill: string; readonly stroke: string; readonly width: number }>>;
  readonly shades: readonly string[];
  readonly shadeStroke: string;
  readonly text: string;
  readonly note: string;
  /** Text of special parts. */
  readonly accent: string;
  readonly flow: string;
  readonly skip: string;
  readonly opens: string;
}

const paint = (fill: string, stroke = 'none', width = 1) => ({ fill, stroke, width });

export const themes: Readonly<Record<ThemeName, Theme>> = {
  light: {
    paints: {
      page: paint('#ffffff'), panel: paint('#f6f8fa', '#c9d1d9'), block: paint('#eef1f5', '#8c96a3', 1.4), frame: paint('#ffffff', '#6e7781', 1.2),
      norm: paint('#fdf3d7', '#b8912f', 1.2), attention: paint('#dce9fb', '#3f6fb5', 1.2), feedForward: paint('#def2e4', '#3d8a5b', 1.2),
      plain: paint('#ffffff', '#8c96a3', 1.1), special: paint('#fde3e0', '#c2372c', 1.5), add: paint('#ffffff', '#1f2328', 1.2),
      difference: paint('#fff2a8'), empty: paint('#ffffff', '#c9d1d9', 0.8),
    },
    shades: ['#a9c8f2', '#1f5fae', '#7d5fc4', '#addbbb', '#2f7a4c', '#9a9a2e'], shadeStroke: '#ffffff',
    text: '#1f2328', note: '#57606a', accent: '#b02a20', flow: '#1f2328', skip: '#57606a', opens: '#8c96a3',
  },
  dark: {
    paints: {
      page: paint('#0d1117'), panel: paint('#161b22', '#3d444d'), block: paint('#1c222b', '#768390', 1.4), frame: paint('#0d1117', '#8b949e', 1.2),
      norm: paint('#3a3115', '#d1a73e', 1.2), attention: paint('#172c4d', '#6ea0ff', 1.2), feedForward: paint('#14331f', '#4fb57a', 1.2),
      plain: paint('#0d1117', '#768390', 1.1), special: paint('#4a1c1a', '#ff7b72', 1.5), add: paint('#0d1117', '#e6edf3', 1.2),
      difference: paint('#4d4212'), empty: paint('#0d1117', '#3d444d', 0.8),
    },
    shades: ['#33568c', '#8fbaff', '#b79bff', '#2a6b44', '#86e0a8', '#d6d66a'], shadeStroke: '#0d1117',
    text: '#e6edf3', note: '#9da7b1', accent: '#ff938a', flow: '#e6edf3', skip: '#9da7b1', opens: '#768390',
  },
  print: {
    paints: {
      page: paint('#ffffff'), panel: paint('#ffffff', '#7f7f7f', 0.8), block: paint('#f4f4f4', '#000000', 1.2), frame: paint('#ffffff', '#000000'),
      norm: paint('#ffffff', '#000000'), attention: paint('#ffffff', '#000000'), feedForward: paint('#ffffff', '#000000'),
      plain: paint('#ffffff', '#000000', 0.8), special: paint('#ffffff', '#000000', 2.6), add: paint('#ffffff', '#000000'),
      difference: paint('#dcdcdc'), empty: paint('#ffffff', '#a0a0a0', 0.6),
    },
    shades: ['#f2f2f2', '#1a1a1a', '#8a8a8a', '#f2f2f2', '#5a5a5a', '#b0b0b0'], shadeStroke: '#000000',
    text: '#000000', note: '#333333', accent: '#000000', flow: '#000000', skip: '#000000', opens: '#7f7f7f',
  },
};

/** The paint of the n-th sort of layer; they come round again where there are more sorts than shades. */
export function shade(sort: number): Paint {
  return `shade${sort % SHADES}`;
}
