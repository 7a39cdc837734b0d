/**
 * Who held how much memory, from when to when.
 *
 * @module
 */

/** Where memory is held. */
export type Account = "device" | "host";

/** Something that holds memory. */
export interface Holding {
  readonly account: Account;
  /** Label of a tensor, "scratch of" and the label of a recording, or what the host holds. */
  readonly label: string;
  readonly bytes: number;
}

/** What was held, from which phase to which. */
export interface Lifetime extends Holding {
  /** Index of the phase in which it was taken. */
  readonly from: number;
  /** Index of the phase in which it was given back; the last one if it never was. */
  readonly to: number;
  /** Whether it was given back. */
  readonly dropped: boolean;
  /** Whether it was held when the accounts in question held most together. */
  readonly atPeak: boolean;
}

interface Entry extends Holding {
  readonly taken: { readonly time: number; readonly phase: number };
  dropped: { readonly time: number; readonly phase: number } | null;
}

/**
 * A log of what is taken and given back.
 *
 * @example
 * ```ts
 * import { Ledger } from "./ledger.ts";
 *
 * const ledger = new Ledger();
 * const file = ledger.take("host", "file", 30);
 * ledger.take("device", "weights", 20);
 * file.drop();
 * ledger.take("device", "activations", 25);
 * if (ledger.peak(["device"]) !== 45) throw new Error("20 + 25");
 * if (ledger.peak(["device", "host"]) !== 50) throw new Error("30 + 20");
 * ```
 */
export class Ledger {
  readonly #phases: string[] = ["start"];
  readonly #events: { readonly entry: Entry; readonly change: number }[] = [];
  readonly #entries: Entry[] = [];

  /** Names of the phases so far, in order. */
  get phases(): readonly string[] {
    return this.#phases;
  }

  /** Begins a phase: what is taken from here on belongs to it. */
  phase(name: string): void {
    this.#phases.push(name);
  }

  /** Takes memory until `drop`, which may be called again without effect. */
  take(account: Account, label: string, bytes: number): { drop(): void } {
    const entry: Entry = { account, label, bytes, taken: this.#now(), dropped: null };
    this.#entries.push(entry);
    this.#events.push({ entry, change: bytes });
    return {
      drop: () => {
        if (entry.dropped !== null) return;
        entry.dropped = this.#now();
        this.#events.push({ entry, change: -bytes });
      },
    };
  }

  /** What is held now. */
  current(accounts: readonly Account[]): number {
    return this.#entries
      .filter(({ account, dropped }) => dropped === null && accounts.includes(account))
      .reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The most that some accounts have ever held together. */
  peak(accounts: readonly Account[]): number {
    return this.#highest(accounts).bytes;
  }

  /** Everything that was ever held there, in the order in which it was taken. */
  lifetimes(accounts: readonly Account[]): Lifetime[] {
    const { time } = this.#highest(accounts);
    return this.#entries
      .filter(({ account }) => accounts.includes(account))
      .map(({ account, label, bytes, taken, dropped }) => ({
        account,
        label,
        bytes,
        from: taken.phase,
        to: dropped?.phase ?? this.#phases.length - 1,
        dropped: dropped !== null,
        atPeak: taken.time <= time && (dropped === null || dropped.time > time),
      }));
  }

  #now(): { readonly time: number; readonly phase: number } {
    return { time: this.#events.length, phase: this.#phases.length - 1 };
  }

  /** The largest sum, and the first time at which it was reached. */
  #highest(accounts: readonly Account[]): { bytes: number; time: number } {
    let sum = 0;
    let highest = { bytes: 0, time: -1 };
    for (const [time, { entry, change }] of this.#events.entries()) {
      if (!accounts.includes(entry.account)) continue;
      sum += change;
      if (sum > highest.bytes) highest = { bytes: sum, time };
    }
    return highest;
  }
}
