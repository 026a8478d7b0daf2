/** An input whose text counts when it is done: on Enter, or when the focus leaves it. */
import { useEffect, useState } from "preact/hooks";

interface TextInputProps {
  value: string;
  done: (value: string) => void;
  type?: "text" | "number" | "date";
  class?: string;
  placeholder?: string;
  /** Where no label is around it. */
  label?: string;
  isRefused?: boolean;
}

export function TextInput({ value, done, type = "text", label, isRefused = false, ...rest }: TextInputProps) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  return (
    <input
      {...rest}
      type={type as "text"} // Preact's types know only one kind at a time
      step={type === "number" ? "any" : undefined}
      autocomplete="off"
      spellcheck={false}
      aria-label={label}
      aria-invalid={isRefused ? "true" : undefined}
      value={typed}
      onInput={(event) => setTyped(event.currentTarget.value)}
      onChange={(event) => done(event.currentTarget.value.trim())}
    />
  );
}
