# Copyright (c) 2026, The pgfleet maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PostgreSQL server writes into its log, as messages: from stderr, csvlog and jsonlog. Pure.

PostgreSQL manual of 18, 19.8 "Error Reporting and Logging". Private to the collection.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

__all__ = ["Message", "of_csv", "of_json", "of_stderr", "since_last_start"]

# The levels in the languages into which a server translates them (PostgreSQL 15, src/backend/po): lc_messages decides.
# In a csvlog they are translated as well (elog.c, write_csvlog).
_LEVELS = {
    "PANIC": "PANIC PANIK PANICO პანიკა 손상 ПАНИКА ПАНІКА 比致命错误还过分的错误",
    "FATAL": "FATAL FATALE FATALT ფატალური 치명적오류 ВАЖНО ФАТАЛЬНО 致命错误",
    "ERROR": "ERROR FEHLER ERREUR ERRORE FEL შეცდომა 오류 ОШИБКА ПОМИЛКА 错误",
    "WARNING": "WARNING WARNUNG ATTENTION ATTENZIONE VARNING გაფრთხილება 경고 ПРЕДУПРЕЖДЕНИЕ ПОПЕРЕДЖЕННЯ 警告",
    "LOG": "LOG LOGG ჟურნალი 로그 СООБЩЕНИЕ ЗАПИСУВАННЯ 日志",
    "DETAIL": "DETAIL DÉTAIL DETALLE DETTAGLI 詳細 დეტალები 상세정보 ПОДРОБНОСТИ DETALJ ВІДОМОСТІ 详细信息",
    "HINT": "HINT TIPP ASTUCE SUGGERIMENTO ヒント მინიშნება 힌트 ПОДСКАЗКА TIPS УКАЗІВКА 提示",  # noqa: RUF001
    # What somebody's statement was is nobody else's business, and may hold a password.
    "": "STATEMENT ANWEISUNG INSTRUCTION SENTENCIA ISTRUZIONE 文 ოპერატორი ОПЕРАТОР SATS ІНСТРУКЦІЯ 语句 QUERY LOCATION"
    " CONTEXT ZUSAMMENHANG CONTEXTO CONTEXTE CONTESTO 文脈 კონტექსტი 내용 КОНТЕКСТ KONTEXT КОНТЕКСТ 上下文",  # noqa: RUF001
}
_LEVEL_OF = {word: level for level, words in _LEVELS.items() for word in words.split()}

# A message begins with its level after whatever log_line_prefix puts there; the level ends in a colon and two blanks.
_LABELLED = re.compile(rf"(?:^|[\s\])>|])({'|'.join(sorted(_LEVEL_OF, key=len, reverse=True))}) ?:  ?(.*)")

# Of the context of a message only the place of a mistake is told: other contexts are of somebody's statements.
_PLACE = re.compile(r'line \d+ of configuration file "[^"]*"')

# Of csvlog: columns of every version from 10 on; later ones were added at the end.
_CSV_LEVEL, _CSV_SQLSTATE, _CSV_MESSAGE, _CSV_DETAIL, _CSV_HINT, _CSV_CONTEXT, _CSV_COLUMNS = 11, 12, 13, 14, 15, 18, 23

# What a server says first, and never again: from 12 on, and before.
_STARTS = re.compile(r"starting PostgreSQL \d|database system was (shut down|interrupted)")


@dataclass(frozen=True)
class Message:
    """One message. ``level`` is PANIC, FATAL, ERROR, WARNING or LOG, whatever the language; empty if there is none."""

    level: str
    text: str
    detail: str = ""
    hint: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The message as a server of no language writes it, without what log_line_prefix puts before it."""
        named = ((self.level, self.text), ("DETAIL", self.detail), ("HINT", self.hint))
        return tuple(f"{name}:  {text}" if name else text for name, text in named if text)


def of_stderr(text: str) -> list[Message]:
    """The messages of a log of the form ``stderr``, of a journal or of what pg_ctl has been told to write."""
    found: list[Message] = []
    name = ""
    for line in text.splitlines():
        match = _LABELLED.search(line)
        if match is not None:
            level, said = _LEVEL_OF[match[1]], match[2].strip()
            name = "" if level == "" else "text"
            if level in ("DETAIL", "HINT"):
                name = level.lower()
                if found:
                    found[-1] = replace(found[-1], **{name: said})
            elif level:
                found.append(Message(level, said))
            elif found:
                found[-1] = _placed(found[-1], said)
        elif line.startswith("\t"):  # what goes on begins with a tab
            if found and name:
                said = f"{getattr(found[-1], name)} {line.strip()}"
                found[-1] = replace(found[-1], **{name: said})
        elif line.strip():
            name = "text"
            found.append(Message("", line.strip()))
    return found


def of_csv(text: str) -> list[Message]:
    """The messages of a csvlog; of one that begins or ends within a message, those that are whole."""
    found = []
    for row in _rows(text):
        if len(row) >= _CSV_COLUMNS and row[_CSV_LEVEL] in _LEVEL_OF:
            level = _LEVEL_OF[row[_CSV_LEVEL]]
            message = Message(level, *(_one_line(row[at]) for at in (_CSV_MESSAGE, _CSV_DETAIL, _CSV_HINT)))
            found.append(_placed(message, row[_CSV_CONTEXT]))
    return found


def _rows(text: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(text.splitlines(keepends=True))
    except csv.Error:  # a field beyond the reader's limit, or a NUL: what comes before is told
        return


def of_json(text: str) -> list[Message]:
    """The messages of a jsonlog, which has one in each line."""
    found = []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("error_severity") in _LEVEL_OF:
            said = (_one_line(str(entry.get(name, ""))) for name in ("message", "detail", "hint"))
            message = Message(_LEVEL_OF[entry["error_severity"]], *said)
            found.append(_placed(message, str(entry.get("context", ""))))
    return found


def since_last_start(messages: list[Message]) -> list[Message]:
    """Those of the last start, as far as a server that speaks English tells; else all."""
    starts = [at for at, message in enumerate(messages) if message.level == "LOG" and _STARTS.match(message.text)]
    return messages[starts[-1] :] if starts else messages


def _placed(message: Message, context: str) -> Message:
    """The message with the place in a file that its context names."""
    return replace(message, text=f"{message.text} ({context})") if _PLACE.fullmatch(context) else message


def _one_line(text: str) -> str:
    return " ".join(text.split())
