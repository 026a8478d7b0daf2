/** Results of the server, fetched again whenever what is asked for changes. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { isAbort } from "./http";
import { useKeyGiven } from "./key_prompt_state";

/** What was fetched last; it stays while newer results are on their way. */
export interface Fetched<T> {
  data: T | null;
  error: unknown;
  loading: boolean;
  reload: () => void;
}

/**
 * Fetch by `load` whenever `key` changes, which says all that the result depends on; null: fetch nothing.
 * A request that is not needed any more is aborted. `everyMs`: fetch again so long after each answer.
 */
export function useFetched<T>(
  key: string | null,
  load: (signal: AbortSignal) => Promise<T>,
  everyMs: number | null = null,
): Fetched<T> {
  const [state, setState] = useState<{ key: string | null; data: T | null; error: unknown; loading: boolean }>({
    key: null,
    data: null,
    error: null,
    loading: key !== null,
  });
  const [turn, setTurn] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  const keyGiven = useKeyGiven();

  useEffect(() => {
    if (key === null) {
      setState({ key: null, data: null, error: null, loading: false });
      return undefined;
    }
    const controller = new AbortController();
    setState((before) => ({ ...before, key, loading: true }));
    latest.current(controller.signal).then(
      (data) => {
        if (!controller.signal.aborted) setState({ key, data, error: null, loading: false });
      },
      (error: unknown) => {
        if (!isAbort(error) && !controller.signal.aborted) setState({ key, data: null, error, loading: false });
      },
    );
    return () => controller.abort();
  }, [key, turn, keyGiven]);

  useEffect(() => {
    if (everyMs === null || state.loading || key === null) return undefined;
    const timer = setTimeout(() => setTurn((before) => before + 1), everyMs);
    return () => clearTimeout(timer);
  }, [everyMs, state.loading, turn, key]);

  const reload = useCallback(() => setTurn((before) => before + 1), []);
  return { data: state.data, error: state.error, loading: state.loading, reload };
}
