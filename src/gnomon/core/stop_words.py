"""Words without content, a list a language: what keyword search leaves out of queries and snippets do not mark.

Only English has a list of its own. For other languages keyword search takes tantivy's (`index.analysis`).
"""

from __future__ import annotations

# Longer than Lucene's 33 words: questions are full of auxiliaries and question words that carry no topic.
ENGLISH = frozenset(
    """
    a an the and or but nor if then than so as of at by for from in into on to with about between during before
    after above below up down out over under again is am are was were be been being do does did doing have has
    had having can could will would shall should may might must i me my we us our you your he him his she her it
    its they them their this that these those there here what which who whom whose when where why how not no
    such too very just also only own same some any each other both few more most once
    """.split()
)

# Comparing and ordering words ("above", "most"), negations and "May" say what a question to a table wants.
_SAYING_SOMETHING_TO_TABLES = frozenset(
    """
    above after again also am before being below both but doing down during each few having here him just may
    might more most must nor not once only other out over own same shall so such too under very
    """.split()
)
_COMMANDS = frozenset(
    """
    all called count dated entries entry find get give list many much named number please record records row
    rows s show tell until value values within
    """.split()
)
ENGLISH_TABLE_QUESTIONS = (ENGLISH - _SAYING_SOMETHING_TO_TABLES) | _COMMANDS
"""What a question to a table may say without a column or a value being meant."""
