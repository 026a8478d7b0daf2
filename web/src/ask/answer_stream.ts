/** An answer as it comes: the events of the stream, gathered into what is shown. */
import type { Answer, Passage, Sentence } from "../client/types";

/** What is known of an answer so far. */
export interface Turn {
  question: string;
  passages: Passage[];
  confidence: number | null;
  sentences: Sentence[];
  /** What a language model has written and nobody has verified yet. */
  draft: string;
  answer: Answer | null;
  error: unknown;
  running: boolean;
}

export function newTurn(question: string): Turn {
  return {
    question,
    passages: [],
    confidence: null,
    sentences: [],
    draft: "",
    answer: null,
    error: null,
    running: true,
  };
}

/** The turn after one event of the stream. Events of other names are passed over. */
export function afterEvent(turn: Turn, name: string, data: unknown): Turn {
  const said = data as Record<string, unknown>;
  switch (name) {
    case "passages":
      return { ...turn, passages: said.passages as Passage[], confidence: said.confidence as number };
    case "text":
      return { ...turn, draft: turn.draft + String(said.text) };
    case "sentence": {
      const sentence = (said.sentence ?? said) as Sentence;
      return { ...turn, sentences: [...turn.sentences, sentence], draft: withoutSentence(turn.draft, sentence.text) };
    }
    case "done": {
      const answer = (said.answer ?? said) as Answer;
      return {
        ...turn,
        answer,
        passages: answer.passages,
        confidence: answer.confidence,
        sentences: answer.sentences,
        draft: "",
        running: false,
      };
    }
    default:
      return turn;
  }
}

/** The draft after a sentence of it was verified: what follows that sentence and its citations. */
function withoutSentence(draft: string, sentence: string): string {
  const at = draft.indexOf(sentence.slice(0, 40));
  return at < 0 ? draft : draft.slice(at + sentence.length).replace(/^(\s*\[\d+\])+/, "");
}
