// The webcam: its stream, and one frame at a time.

/** A webcam shown in a video element. */
export class Camera {
  #video;
  #stream;
  #stopped;
  #stop = () => {};

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.#video = video;
  }

  get running() {
    return this.#stream !== undefined;
  }

  /**
   * @param {string} [deviceId] the one that looks away from the user, if left out
   * @param {() => void} [onEnd] told when the camera goes away by itself
   */
  async start(deviceId, onEnd) {
    this.stop();
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new DOMException("", globalThis.isSecureContext === false ? "SecurityError" : "NotSupportedError");
    }
    const wanted = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: { ideal: "environment" } };
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { ...wanted, width: { ideal: 1280 }, height: { ideal: 720 } },
    });
    this.#stream = stream;
    this.#stopped = new Promise((resolve) => {
      this.#stop = resolve;
    });
    for (const track of stream.getTracks()) {
      track.addEventListener("ended", () => {
        if (this.#stream !== stream) return;
        this.stop();
        onEnd?.();
      });
    }
    this.#video.srcObject = stream;
    await this.#video.play();
  }

  stop() {
    if (!this.#stream) return;
    for (const track of this.#stream.getTracks()) track.stop();
    this.#stream = undefined;
    this.#video.srcObject = null;
    this.#stop();
  }

  /** Resolves with the next frame, so that none is looked at twice; in a hidden tab there is none until it is shown again. */
  frame() {
    const next = new Promise((resolve) => {
      if (this.#video.requestVideoFrameCallback) this.#video.requestVideoFrameCallback(resolve);
      else requestAnimationFrame(resolve);
    });
    return Promise.race([next, this.#stopped]);
  }

  /** @returns {Promise<{id: string, label: string, current: boolean}[]>} the cameras, once one was allowed */
  async list() {
    const current = this.#stream?.getVideoTracks()[0]?.getSettings().deviceId;
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices
      .filter(({ kind }) => kind === "videoinput")
      .map(({ deviceId, label }, index) => ({ id: deviceId, label: label || `Camera ${index + 1}`, current: deviceId === current }));
  }
}

/**
 * Why there is no camera, and what to do.
 * @param {Error} error of getUserMedia
 */
export function explainCamera(error) {
  switch (error.name) {
    case "NotAllowedError":
      return "The camera was not allowed. Allow it for this page beside the address, in the browser’s or the system’s settings, then try again.";
    case "SecurityError":
      return "Browsers give the camera to secure pages only: open this one over https, or from this computer as http://localhost.";
    case "NotFoundError":
    case "OverconstrainedError":
      return "No camera was found. Connect one, then try again.";
    case "NotReadableError":
    case "AbortError":
      return "The camera gives no picture: perhaps another program uses it. Close that, then try again.";
    case "NotSupportedError":
      return "This browser gives pages no camera.";
    default:
      return `The camera could not be started: ${error.message || error.name}`;
  }
}

/** Frames a second over the last moments. */
export class Rate {
  #times = [];

  /** @returns {number | undefined} nothing until there are two */
  tick(now = performance.now()) {
    // A pause, as of a hidden tab, starts anew.
    if (now - this.#times.at(-1) > 2500) this.#times = [];
    this.#times.push(now);
    if (this.#times.length > 12) this.#times.shift();
    const [first] = this.#times;
    return this.#times.length > 1 ? ((this.#times.length - 1) * 1000) / (now - first) : undefined;
  }
}
