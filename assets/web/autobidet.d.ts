/** What a picture can be given as. `ImageData` reaches the engine bit for bit. */
export type Source =
  | HTMLImageElement
  | HTMLVideoElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | ImageBitmap
  | VideoFrame
  | Blob
  | ImageData;

/** Left, top, right, bottom, in pixels of the source's natural size. */
export type Box = [xmin: number, ymin: number, xmax: number, ymax: number];

/** One object that was found. */
export interface Detection {
  /** The name of the class. */
  label: string;
  /** The number of the class, from 0: its place in `info.labels`. */
  class: number;
  /** 0 to 1. */
  score: number;
  box: Box;
}

/** Milliseconds of every stage. */
export interface Times {
  /** Decoding the picture and reading its pixels. */
  grab: number;
  /** Resizing and normalising. */
  prepare: number;
  /** The network on the device. */
  network: number;
  /** Boxes from the network's outputs. */
  decode: number;
  /** All of the engine's: without `grab`. */
  total: number;
}

export interface RunResult {
  /** Best first. */
  boxes: Detection[];
  times: Times;
  /** The source's natural size. */
  width: number;
  height: number;
  /** The size that the engine was given, where the source had more than 4096 pixels on a side. */
  scaled?: { width: number; height: number };
}

/** What the browser tells of the adapter; any of the words may be empty. */
export interface Adapter {
  name: string;
  driver: string;
  vendor: string;
  architecture: string;
  device: string;
  description: string;
  /** It computes on the processor. */
  software: boolean;
  /** That plans are built for. Bytes, but for `max_groups`. */
  limits: { max_binding: number; max_buffer: number; max_groups: number; alignment: number };
}

export interface LayerInfo {
  name: string;
  /** What it computes in. */
  path: "packed" | "float" | "8-bit" | (string & {});
}

export interface DetectorInfo {
  name: string;
  /** The network's kind. */
  model: string;
  method: string;
  /** `exact`: integers throughout, the same boxes on every device. */
  precision: "exact" | "float";
  labels: string[];
  /** Pixels a side that the network sees. */
  input: number;
  /** Of the deploy file. */
  bytes: number;
  /** Bytes on the device for one image. */
  memory: number;
  /** The network needed more than WebGPU's default limits. */
  raised_limits: boolean;
  /** What computes it. */
  device: "webgpu" | "cpu";
  layers: LayerInfo[];
  binary_layers: number;
  /** How many of the binary layers run on packed bits. */
  packed_layers: number;
  /** The lowest score that is worth showing. */
  score: number;
  /** How it was made, as the file says. */
  record: Record<string, unknown>;
  adapter: Adapter;
}

/**
 * `engine`: its module is fetched and compiled; `device`: an adapter is opened; `download`: the model, `done` of `total` bytes;
 * `network`: its shaders are compiled; `ready`. `engine` and `device` run beside `download`.
 */
export type Progress =
  | { stage: "engine" | "device" | "network" | "ready" }
  | {
      stage: "download";
      done: number;
      /** Missing where the server does not say it. */
      total?: number;
    };

export interface LoadOptions {
  /**
   * What computes: `webgpu`; `cpu`, in the worker, which needs no WebGPU; `auto` (the default): WebGPU, but the CPU where the
   * browser's adapter is a program on the CPU itself, which is slower.
   */
  device?: "auto" | "webgpu" | "cpu";
  onProgress?: (progress: Progress) => void;
  /** Ends the worker while it starts. */
  signal?: AbortSignal;
}

export interface DetectOptions {
  /** The lowest score wanted; `info.score`, 0.3, if left out. */
  score?: number;
  /** The most boxes wanted; 200 if left out. */
  max?: number;
}

/** One layer, computed by the device and by its CPU twin. */
export interface TraceStep {
  step: number;
  label: string;
  /** The largest difference. */
  error: number;
  /** The share of the integers that differ, 0 to 1. */
  differing: number;
  agrees: boolean;
}

export interface TraceReport {
  adapter: Adapter;
  steps: number;
  /** How many of the steps agree. */
  agree: number;
  first_difference: TraceStep | null;
  /** The whole report, for a report of a bug. */
  text: string;
}

export interface SelftestLine {
  op: string;
  cases: number;
  passed: number;
  largest_error: number;
  problems: string[];
}

export interface SelftestReport {
  passed: number;
  failed: number;
}

/** A trained detector, running in a worker of its own. Calls are answered one after the other. */
export declare class Detector {
  private constructor();
  /** Fetches or reads a deploy file (`autobidet export`) and makes it ready. Bytes given are copied. */
  static load(model: string | URL | Blob | ArrayBuffer | Uint8Array, options?: LoadOptions): Promise<Detector>;
  readonly info: DetectorInfo;
  /** Resolves with the reason when the device is lost or the engine has crashed; not after `close()`. */
  readonly lost: Promise<string>;
  detect(source: Source, options?: DetectOptions): Promise<Detection[]>;
  /** As `detect`, with times and the source's size. */
  run(source: Source, options?: DetectOptions): Promise<RunResult>;
  /** Every layer on the device against its CPU twin. Takes a while. */
  trace(source: Source, options?: { onStep?: (step: TraceStep) => void }): Promise<TraceReport>;
  /** Every operation's own cases on the device against the CPU twins. Takes a while. */
  selftest(options?: { onStep?: (line: SelftestLine) => void }): Promise<SelftestReport>;
  /** Ends the worker; what still waits is rejected with an `AbortError`. */
  close(): void;
}

export interface TrainConfig {
  /** `scenes`: drawn as they are needed; `images`: those given to `addImage`. `scenes` if left out. */
  source?: "scenes" | "images";
  /** The names of the classes; only and always with `images`. */
  classes?: string[];
  steps?: number;
  /** Images a step. */
  batch?: number;
  /** The learning rate. */
  lr?: number;
  seed?: number;
  /** How the network is binarized: `bidet-sc` if left out, `float`, `bireal` and the others of `autobidet train --method`. */
  method?: string;
}

/** Each times its weight. Those that the method lacks are missing; what is not a number is null. */
export interface Losses {
  /** Of the classes. */
  conf?: number | null;
  /** Of the places. */
  loc?: number | null;
  /** The information bottleneck's. */
  ib?: number | null;
  /** The sparse object prior's. */
  sop?: number | null;
  total: number | null;
}

export interface TrainEvent {
  /** From 1. */
  step: number;
  steps: number;
  losses: Losses;
  lr: number;
  images_per_second: number;
  /** It changed nothing, for its gradients were not finite. */
  skipped: boolean;
}

export interface Preview {
  image: ImageData;
  width: number;
  height: number;
  boxes: Detection[];
  /** What is really there. */
  truth: { label: string; class: number; box: Box }[];
}

/** Trains a small detector in a worker of its own. */
export declare class Trainer {
  private constructor();
  static create(config?: TrainConfig, options?: LoadOptions): Promise<Trainer>;
  readonly config: TrainConfig;
  readonly adapter: Adapter;
  /** Resolves with the reason when the device is lost or the engine has crashed; not after `close()`. */
  readonly lost: Promise<string>;
  /** Only with `source: "images"`, and before the first step. `class` is a number or a name of `classes`. */
  addImage(source: Source, boxes: { class: number | string; box: Box }[]): Promise<void>;
  /** One step each time the next is asked for, to the last step or the signal; goes on where the last `run` stopped. */
  run(options?: { signal?: AbortSignal }): AsyncGenerator<TrainEvent, void, void>;
  /** Detections in an image that is not trained on (or in one of the own images). */
  preview(): Promise<Preview>;
  /** A deploy file of the detector as it is now; `exact` if left out. */
  export(precision?: "exact" | "float"): Promise<Uint8Array<ArrayBuffer>>;
  /** Ends the worker; what still waits is rejected with an `AbortError`. */
  close(): void;
}

export type Support =
  | {
      ok: true;
      /** It would compute on the processor. */
      software: boolean;
      note?: string;
    }
  | {
      ok: false;
      code: "insecure" | "no-webgpu" | "no-adapter" | "old-browser";
      reason: string;
      /** What to do about it. */
      remedy: string;
    };

/** Whether the engine can run here, and if not, why and what to do. Never rejects. */
export declare function supported(): Promise<Support>;
