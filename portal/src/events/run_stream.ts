import type { Envelope } from "./envelope";

/** `live`: what happens is seen; `connecting`, `reconnecting`: nothing is lost, it comes; `offline`: the machine has no network. */
export type StreamState = "connecting" | "live" | "reconnecting" | "offline" | "ended";

export interface StreamListener {
  /** New events in order, each once. At most one call in 50 ms. */
  onEvents: (events: readonly Envelope[]) => void;
  onState: (state: StreamState) => void;
  /** The server's log is shorter than ours was: all events come again from 1. */
  onReset: () => void;
}

/** What the stream needs of the browser; tests give their own. */
export interface StreamWorld {
  connect: (path: string) => WebSocket;
  isOnline: () => boolean;
  /** Asked after a connection that was refused: false ends the stream (signed out, or the log is gone). */
  mayFollow: (runId: string) => Promise<boolean>;
  random: () => number;
}

const GATHER_MS = 50;
const SILENCE_MS = 40_000; // the server says something every 15 s
const LOOK_MS = 5000;
const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 10_000;
const NORMAL = 1000;
const CONNECTING = 0;

/**
 * The log of one run as it grows, over a WebSocket. It comes back with its cursor after every break, drops what it has, and asks
 * again where something is missing, so its listener gets 1, 2, 3 … without gap or double.
 */
export class RunStream {
  #socket: WebSocket | undefined;
  #gathered: Envelope[] = [];
  #gathering: ReturnType<typeof setTimeout> | undefined;
  #waiting: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setInterval> | undefined;
  #heardAt = 0;
  #failures = 0;
  #state: StreamState | undefined;
  readonly #wake = () => this.#onWake();
  readonly #lost = () => this.#onOffline();

  constructor(
    readonly runId: string,
    private cursor: number,
    private readonly listener: StreamListener,
    private readonly world: StreamWorld,
  ) {
    window.addEventListener("online", this.#wake);
    window.addEventListener("offline", this.#lost);
    document.addEventListener("visibilitychange", this.#wake);
    this.#connect();
  }

  /** Ends the stream; nothing is told after this. */
  close(): void {
    if (this.#state === "ended") return;
    this.#flush();
    this.#drop();
    window.removeEventListener("online", this.#wake);
    window.removeEventListener("offline", this.#lost);
    document.removeEventListener("visibilitychange", this.#wake);
    this.#tell("ended");
  }

  #connect(): void {
    this.#drop();
    this.#tell(this.#state === undefined ? "connecting" : this.world.isOnline() ? "reconnecting" : "offline");
    const socket = this.world.connect(`/ws/runs/${encodeURIComponent(this.runId)}?cursor=${this.cursor}`);
    let opened = false;
    this.#socket = socket;
    this.#listenForSilence();
    socket.onopen = () => {
      opened = true;
    };
    socket.onmessage = ({ data }) => this.#take(JSON.parse(String(data)) as Envelope | Notice);
    socket.onclose = ({ code }) => {
      if (code === NORMAL) this.close();
      else void this.#retry(opened);
    };
  }

  #take(said: Envelope | Notice): void {
    this.#failures = 0;
    this.#tell("live");
    this.#listenForSilence();
    if (!("seq" in said)) {
      if (said.type === "reset") this.#reset();
      return;
    }
    if (said.seq <= this.cursor) return;
    if (said.seq !== this.cursor + 1) {
      this.#connect(); // something is missing: ask for it
      return;
    }
    this.cursor = said.seq;
    this.#gathered.push(said);
    this.#gathering ??= setTimeout(() => this.#flush(), GATHER_MS);
  }

  #reset(): void {
    this.#gathered = [];
    this.cursor = 0;
    this.listener.onReset();
  }

  #flush(): void {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    const events = this.#gathered;
    this.#gathered = [];
    if (events.length > 0) this.listener.onEvents(events);
  }

  async #retry(opened: boolean): Promise<void> {
    this.#drop();
    this.#tell(this.world.isOnline() ? "reconnecting" : "offline");
    const waited =
      this.#failures === 0 && opened ? 0 : Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
    this.#failures += 1;
    if (!opened && !(await this.world.mayFollow(this.runId))) {
      this.close();
      return;
    }
    if (this.#state === "ended" || this.#socket) return;
    this.#waiting = setTimeout(() => this.#connect(), waited * (0.5 + this.world.random() / 2));
  }

  /** Back from sleep or another network: an old connection may look open and be dead, a waiting one need not wait. */
  #onWake(): void {
    if (document.visibilityState === "hidden" || (this.#state === "live" && !this.#isSilent())) return;
    this.#connect();
  }

  #onOffline(): void {
    this.#drop();
    this.#tell("offline");
  }

  /** By the clock on the wall: one that waited for 40 s would begin to count when a machine that slept wakes. */
  #listenForSilence(): void {
    this.#heardAt = Date.now();
    this.#silence ??= setInterval(() => {
      if (this.#isSilent()) this.#connect();
    }, LOOK_MS);
  }

  #isSilent(): boolean {
    return Date.now() - this.#heardAt >= SILENCE_MS;
  }

  #drop(): void {
    clearTimeout(this.#waiting);
    clearInterval(this.#silence);
    this.#silence = undefined;
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    if (socket.readyState === CONNECTING)
      socket.onopen = () => socket.close(); // browsers complain of one that is closed too early
    else socket.close();
  }

  #tell(state: StreamState): void {
    if (this.#state === state || this.#state === "ended") return;
    this.#state = state;
    this.listener.onState(state);
  }
}

interface Notice {
  readonly type: "heartbeat" | "reset";
}
