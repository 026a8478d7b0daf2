/** The list of keys. */
import { Dialog } from "../ui/dialog";
import { KEYS } from "./shortcuts";

export function KeysHelp({ close }: { close: () => void }) {
  return (
    <Dialog title="Keys" close={close}>
      <dl class="keys">
        {KEYS.map(([keys, what]) => (
          <>
            <dt>
              {keys.map((key, i) => (
                <>
                  {i > 0 && what.startsWith("the tabs") && " to "}
                  <kbd>{key}</kbd>
                </>
              ))}
            </dt>
            <dd>{what}</dd>
          </>
        ))}
      </dl>
    </Dialog>
  );
}
