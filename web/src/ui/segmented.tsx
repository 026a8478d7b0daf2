/** One of a few choices, side by side: radio buttons underneath, so that arrow keys work. */
import { useId } from "preact/hooks";

interface SegmentedProps {
  label: string;
  choices: readonly { value: string; name: string; title?: string }[];
  value: string;
  choose: (value: string) => void;
}

export function Segmented({ label, choices, value, choose }: SegmentedProps) {
  const group = useId();
  return (
    <fieldset class="segmented">
      <legend class="hidden-text">{label}</legend>
      {choices.map((choice) => (
        <label key={choice.value} title={choice.title}>
          <input
            type="radio"
            name={group}
            value={choice.value}
            checked={choice.value === value}
            onChange={() => choose(choice.value)}
          />
          {choice.name}
        </label>
      ))}
    </fieldset>
  );
}
