/** Draws points by WebGL2: 100,000 in one call, their colours by a table of 256. */
import type { Size, View } from "./view";

const VERTEX = `#version 300 es
in vec2 position;
in float code;
in float chosen;
uniform vec4 view;
uniform float size;
uniform float dim;
uniform sampler2D palette;
flat out vec4 colour;
void main() {
  vec4 own = texelFetch(palette, ivec2(int(code), 0), 0);
  float alpha = own.a * (chosen > 0.5 ? 1.0 : dim);
  colour = vec4(own.rgb * alpha, alpha);
  gl_Position = own.a == 0.0 ? vec4(2.0, 2.0, 2.0, 1.0) : vec4(position * view.xy + view.zw, 0.0, 1.0);
  gl_PointSize = size;
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
flat in vec4 colour;
uniform bool round_points;
out vec4 pixel;
void main() {
  if (round_points) {
    vec2 off = gl_PointCoord - 0.5;
    if (dot(off, off) > 0.25) discard;
  }
  pixel = colour;
}`;

/** Attributes in the order of their places. */
const ATTRIBUTES = ["position", "code", "chosen"] as const;
/** Points up to this many pixels wide are squares: nobody sees the difference, and it is drawn faster. */
const SQUARE = 3;

export class Renderer {
  private readonly gl: WebGL2RenderingContext;
  private readonly buffers: Record<(typeof ATTRIBUTES)[number], WebGLBuffer>;
  private readonly uniforms: Record<string, WebGLUniformLocation | null>;
  private count = 0;
  private hasChoice = false;

  /** Throws where the browser has no WebGL2. */
  constructor(private readonly canvas: HTMLCanvasElement) {
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, depth: false, premultipliedAlpha: true });
    if (!gl) throw new Error("This browser draws no WebGL2.");
    this.gl = gl;
    const program = programOf(gl);
    gl.useProgram(program);
    this.uniforms = Object.fromEntries(
      ["view", "size", "dim", "palette", "round_points"].map((name) => [name, gl.getUniformLocation(program, name)]),
    );
    this.buffers = Object.fromEntries(
      ATTRIBUTES.map((name, place) => {
        const buffer = gl.createBuffer();
        gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
        gl.enableVertexAttribArray(place);
        if (name === "position") gl.vertexAttribPointer(place, 2, gl.UNSIGNED_SHORT, true, 0, 0);
        else gl.vertexAttribPointer(place, 1, gl.UNSIGNED_BYTE, false, 0, 0);
        return [name, buffer];
      }),
    ) as Renderer["buffers"];
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  /** New points: x and y of each, uint16. */
  setPoints(xy: Uint16Array): void {
    this.count = xy.length / 2;
    this.fill("position", xy);
    this.setChosen(null);
  }

  /** A code a point, and the colour of each code: red, green, blue, alpha; those of alpha 0 are not drawn. */
  setColours(codes: Uint8Array, palette: Uint8Array): void {
    const { gl } = this;
    this.fill("code", codes);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, palette);
  }

  /** 1 for the points that stand out; null: none does. */
  setChosen(chosen: Uint8Array | null): void {
    this.hasChoice = chosen !== null;
    this.fill("chosen", chosen ?? new Uint8Array(this.count));
  }

  /** Draw. `moving`: without blending, which software renders faster. */
  draw(view: View, { width, height }: Size, ratio: number, moving: boolean): void {
    const { gl, canvas, uniforms } = this;
    const [pixelWidth, pixelHeight] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== pixelWidth || canvas.height !== pixelHeight) {
      canvas.width = pixelWidth;
      canvas.height = pixelHeight;
    }
    gl.viewport(0, 0, pixelWidth, pixelHeight);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (this.count === 0) return;
    const size = pointSize(this.count, view.zoom, Math.min(width, height)) * ratio;
    const [sx, sy] = [(2 * view.zoom) / width, (2 * view.zoom) / height];
    gl.uniform4f(uniforms.view!, sx, sy, -1 - view.left * sx, 1 - view.top * sy);
    gl.uniform1f(uniforms.size!, size);
    gl.uniform1f(uniforms.dim!, this.hasChoice ? 0.12 : 1);
    gl.uniform1i(uniforms.round_points!, size > SQUARE ? 1 : 0);
    if (moving && !this.hasChoice) gl.disable(gl.BLEND);
    else gl.enable(gl.BLEND);
    gl.drawArrays(gl.POINTS, 0, this.count);
  }

  /** Give the graphics memory back. */
  close(): void {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  private fill(name: (typeof ATTRIBUTES)[number], data: Uint8Array | Uint16Array): void {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.buffers[name]);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, data, this.gl.STATIC_DRAW);
  }
}

/** How wide points are: the fewer there are on the screen, the wider. */
export function pointSize(count: number, zoom: number, extent: number): number {
  const shown = count / Math.max(1, (zoom / extent) ** 2);
  return Math.min(9, Math.max(2, 240 / Math.sqrt(shown + 400)));
}

function programOf(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(kind)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  ATTRIBUTES.forEach((name, place) => gl.bindAttribLocation(program, place, name));
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
    throw new Error(`The map cannot be drawn here: ${gl.getProgramInfoLog(program) ?? "no reason given"}`);
  }
  return program;
}
