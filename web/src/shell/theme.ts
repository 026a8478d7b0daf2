// Before anything is drawn: the colour scheme that was chosen here, if one was.
import { applyTheme, storedTheme } from "./theme_choice";

applyTheme(storedTheme());
