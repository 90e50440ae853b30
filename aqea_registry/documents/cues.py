"""What says that a number is a result: words beside it, and cells of tables.

The words are names of metrics, of settings, or of things that bear a number: `accuracy: 91` and `8 points` are results with any
digits, `dropout 0.15` is a setting, `Table 3.14` a name. The nearest such word decides, if nothing but small words joins it to
the number, or if a number that is joined to this one has it.

A cell is of results if it holds nothing but numbers with units and signs, and neither names its row nor stands in a column of
years, settings or the like. Cells are split as the readers of tables split them, but no parser looks for the tables: that of
Markdown takes several times as long as all the rest, and a page to lint may have megabytes. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from operator import itemgetter
from typing import Literal, NamedTuple

from aqea_registry.documents.latex_tables import TABULAR, tabular_rows
from aqea_registry.documents.prose import Kind, Prose
from aqea_registry.documents.tables import is_numeric, pipe_cells

Verdict = Literal["result", "setting", "name"]

# Patterns that begin with a letter; `_` is a space, a hyphen or an underscore, `=` any sign that compares.
_HYPER = """temperature threshold cut_?off learning_rate lr drop(?:out|_rate) batch seed epoch warm_?up weight_decay decay
margin top_[kp] min_p momentum label_smoothing gradient_(?:clipping|accumulation) beam_size repetition_penalty patience"""
_SETTINGS = r"""stride beta\d? epsilon eps alpha gamma lambda tau theta smoothing clip(?:ping|ped)? accumulation beam penalty
strength overlap scale weight wd bs ef(?:_search)? step iteration resample p_value k1 update length window hold_out size
b= c= df= k= m= n= p= t= α= β= β1= β2= γ= ε= θ= λ= τ= must confidence(?:_level)? significance(?:_level)? mask(?:ed|ing)?
set_(?:to|at) fixed_(?:to|at) context dim(?:ension(?:al)?)? vocab(?:ulary)? param(?:eter)? layer head token(?!s?_per) bit queue
number_of year the_range port ratio rank probability capacity budget limit default characters target goal we_(?:sub)?sampled?
similarity_(?:above|below|over) cosine_(?:above|below|over) multipl(?:y|ied)_by scaled?_by divided?_by weighted_by
maximum_of at_an?_(?:\w+_)?similarity scores?_(?:above|below|exceeds?|over|under)(?!\s[\d.]+\s?\\?%?\son\b)"""
_METRICS = r"""accuracy accuracies acc precision recall f1 f_1 f_score f_measure auc auroc auprc roc_auc map(?!s) ap mrr ndcg
dcg hit em exact_match bleu sacrebleu rouge meteor cider spice chrf(?:\+\+)? ter comet bert_?score bleurt wer cer perplexity ppl
loss error mse rmse mae spearman pearson kendall rho kappa krippendorff's_\W{0,2}alpha cronbach's_\W{0,2}alpha
kendall's_\W{0,2}tau points? correlation corr difference cosine similarity mcc nmi v_measure ari purity silhouette psnr ssim fid
lpips iou miou dice r2 brier ece nll log_likelihood bits_per_byte win_rate error_rate success_rate scored pass_rate hit_rate
rating elo score average(?:_rank)? avg std standard_deviation mean(?!s)(?:_reciprocal)?(?:_rank)? median(?:_rank)? odds_ratio
pass@\d+ r@\d+ p@\d+ top_[15] sensitivity specificity effect_size agreement rank_correlation speed_?up factor cost spent
results? rated genauigkeit mittelwert"""
_BENCHMARKS = r"""mmlu gsm8k humaneval mbpp hellaswag arc truthfulqa winogrande boolq piqa nq triviaqa squad glue superglue
mnli qnli qqp sst_2 cola rte mrpc sts sts_?b sts_?benchmark sick_r sts1[2-6] mteb beir ms_?marco xnli miracl wmt imagenet coco
librispeech alpacaeval mt_bench ifeval bbh gpqa"""
_CHANGES = r"""reach(?:e[sd])? achieve[sd]? attain(?:s|ed)? obtain(?:s|ed)? gets? got yield(?:s|ed)? gain(?:s|ed)? loses? lost
improve(?:s|d|ment)? increase[sd]? rises? rose climb(?:s|ed)? jump(?:s|ed)? grows? grew drop(?:s|ped)? decrease[sd]? falls? fell
decline[sd]? degrade[sd]? beats? outperform(?:s|ed)? leads? exceed(?:s|ed)? surpass(?:es|ed)? gap up(?!_to) has have had gives?
report(?:s|ed)? stieg sank adds? saves? by by_a_(?:\w+_)?margin"""
_NAMES = r"""section sec chapter chap figure fig table tab equation eq appendix algorithm theorem lemma definition corollary
proposition page pp line listing item issue no nr vol volume version ver release rfc iso iec ieee python cpython pypy java node
nodejs npm go rust ruby perl php julia pytorch torch torchvision tensorflow keras jax numpy scipy pandas matplotlib pyarrow
sklearn transformers pip conda cuda cudnn rocm ubuntu debian fedora centos rhel alpine macos windows linux kernel glibc gcc
clang llvm cmake git docker kubernetes openssl sqlite postgresql mysql redis spark vllm onnx tensorrt opencv skopeo croissant
unicode tls http chrome firefox image driver request room apache gpl cc_by since bump(?:ed)?(?:[^.;\n]{0,30}\sto)?"""
_KINDS = {  # the first of those that fit
    "interval": "ci iqr confidence_interval intervals",
    "setting": f"{_HYPER} {_SETTINGS}",
    "metric": _METRICS,
    "benchmark": _BENCHMARKS,
    "change": _CHANGES,
    "name": _NAMES,
}


def _cue_pattern() -> re.Pattern[str]:
    """A pattern for all words, grouped by their first letter, which `re` looks for quickly, and the second; then by kind."""
    written = {"_": r"[\s_~-]", "=": r"(?=\s{0,2}(?:[<>=≤≥]|\\[lg]eq?\b))"}
    seconds = {"_": r"\s_~\-", "=": r"\s<>=≤≥\\"}
    letters = []
    for letter in "abcdefghijklmnopqrstuvwxyzαβγεθλτ":
        words = {
            kind: sorted((word for word in words.split() if word[0] == letter), key=len)[::-1] for kind, words in _KINDS.items()
        }
        second = {seconds.get(word[1], word[1]) for some in words.values() for word in some}
        groups = "|".join(f"(?P<{kind}{letter}>{'|'.join(word[1:] for word in some)})" for kind, some in words.items() if some)
        for sign, pattern in written.items():
            groups = groups.replace(sign, pattern)
        letters.append(f"{letter}(?<![a-z].)(?=[{''.join(second)}])(?:{groups})" if second else "")
    return re.compile(rf"(?:{'|'.join(filter(None, letters))})(?:s|'s)?(?:@\d++|[-_][a-z0-9]{{1,2}})?(?![a-z])")


_CUE = _cue_pattern()
_KIND = {index: name[:-1] for name, index in _CUE.groupindex.items()}
SETTING_LABEL = rf"(?:{'|'.join(_HYPER.replace('_', '[ _-]').split())})s?(?:[ _-](?:size|rate|ratio|step)s?)?"
# What may stand between such a word and its number, and between a number and the word behind it.
_LINE = r"\n(?![ \t]*(?:\n|[-*+#>|]|\d+[.)]\s))"
_SMALL = r"""is are was were be been of to by with a an the only even just up us me another about around roughly nearly still
approximately now from between ranges? value values equals? textbf textit emph mathbf underline bf em text num mathrm beträgt
auf de von bei than (?:high|low)er less more at\smost at\sleast above below under over near"""
_SMALLS = rf"[ \tρκ:=~≈$({{}}\[*_\"'`,–—-]|\\(?![\\])|{_LINE}|(?<![a-z])(?:{'|'.join(_SMALL.split())})(?![a-z])"
_AT = r"|at(?![a-z])"
_LINKING = "is was are were be to from reached reaches stays remains equals"
_LINKS = frozenset((*_LINKING.split(), ":", "="))
_TOKEN = re.compile(r"[a-z]+|[:=]")
_VERBS = rf"(?:(?<![a-z])(?:{'|'.join(_LINKING.split())})(?![a-z])|[:=])"
_BEFORE = {
    **dict.fromkeys(("metric", "interval", "change"), re.compile(rf"(?:{_SMALLS})*")),
    "benchmark": re.compile(rf"[ \t*_`]*+[:=](?:{_SMALLS})*"),
    "setting": re.compile(
        rf"(?:\\[lg]eq?|{_SMALLS}{_AT}|[<>≤≥]|in|over|set|fixed|for|or|up|cut|reduced|limited|decays|linearly|rates?|sizes?|ratios?)*"
    ),
    "name": re.compile(r"(?:[ \t~(#:.=<>≥≤{]|\n(?!\n))*"),
}
# The same across other words, if a verb comes last: `the accuracy on both sets was 91`.
_ACROSS = {
    "metric": re.compile(rf"(?:[^.;!?|\n]|{_LINE})*?{_VERBS}(?:{_SMALLS}{_AT})*"),
    "benchmark": re.compile(rf"[^.;!?|\n]{{0,20}}{_VERBS}(?:{_SMALLS})*"),
    "setting": re.compile(rf"[^.;:,!?|\n\d]{{0,40}}?\s(?:is|was|are|were|be)(?![a-z])(?: [a-z]+ed)?(?:{_SMALLS}{_AT})*"),
}
_BEHIND = {
    "metric": re.compile(
        r"(?:[ ~$/–±-]{1,9}[\d.]+)?[ \t\n~%$}*_\\-]*"
        r"(?:(?:in|of|on|the|absolute|relative|percent|points?|macro|micro|test|dev)[ \t\n~]+)*"
    ),
    "benchmark": re.compile(r"[ \t\n~%$}*_\\]+on[ \t\n~]+(?:the\s)?"),
    "interval": re.compile(r"[ \t~%$}\\]*"),
    "setting": re.compile(r"[ \t~%$}*_\\-]*(?:(?:percent|of(?: the| all)?(?: [a-z]+ (?:is|are))?|[mb]illion|as(?: an?)?) )?"),
}
_CHAIN = re.compile(
    r"(?=\s*\S)[\s~%$}{]*+(?:\([a-z ]{1,30}\)\s?)?(?:,|;|–|-|/|&|and|or|to|vs\.?|against|→|±)?[\s${+]*+(?:and|or)?\s*+"
)
_CONTRAST = re.compile(
    rf"[%$}}]*[,;(]?(?!\s?(?:out\s)?of\s)(?:[^\d.;:!?\n\[]|{_LINE}|(?<=[a-z_-])[\d.]+[a-z]*|[\d.]+[a-z]){{1,40}}"
)
# Of two words the first decides: `the loss after 10 epochs`. What is an average is a result, whatever it is of.
_OF = re.compile(r"s?[ ~](?:of|in|for|that|which|after \d+)[ ~](?:[a-z]+[ ~-]){0,3}")
# Behind a whole number: things that it counts, and the end of what it says.
_LIGHT = """on for in at and with while when using after before over under without from to by among per against compared than
but which that where because although points? percent is was as vs versus plus across has does this out of or"""
_COUNTED = re.compile(rf"[ ~]+(?!(?:{'|'.join(_LIGHT.split())})\b)(?:[a-z-]+[ ~])?[a-z-]+s\b|\s(?:means|indicates|if)\b")
_END = re.compile(r"[%$}*]*(?:[.,;:)]|\s*$|\s*\n\s*\n|[ $]*[→±]|[ ~](?:\(|(?:on|for|in|with(?:out)?|and|above|below)\b))")
# What is behind a limit, a coefficient or a version, and what is around a price.
_CHOSEN = re.compile(
    r"\$?[ ~]or[ ~](?:more|higher|better|above|greater|larger|less|lower|fewer|below|smaller|later|newer)\b|\\?%?[ ~-]level\b"
    r"|(?<=\d{3})[ ~]times\b(?! (?:as|[a-z]+er)\b)|[ ~]times the\b|[ ~](?:[uo][pn]wards?|and[ ~](?:later|up))\b|\+[ )]"
    r"|[ ~](?:[a-z]+[ ~]){0,2}by default\b|[ ~](?:[a-z]+[ ~])?(?:releases?|versions?|series|wheels?|patch)\b|(?:\\,)?\\math"
    r"|\\?%?[^.;:!?,\d\n]{0,40}?\b(?:(?:would|must|may) be|(?:is|was) (?:our|the) (?:target|goal|aim)"
    r"|(?:is|are|was|were) (?:good enough|enough|required|considered|expected))\b"
)
_PRICE = re.compile(r"per |[\s\S]{3}[$€][\d.,]+ (?:[mb]illion )?(?:per|an?)\b")
_PRICED = re.compile(r"[€£$]\d*\.\d+(?![^\n]{0,60}?\$(?!\d))")
_COMPARED = re.compile(r"(?:[a-z})]\s?(?:[<>≤≥]|\\[lg]eq?)|[a-z]_[a-z_]*=)\s?$")
_LONGER = re.compile(r"\.(?<=\d\.)(?<!\d\d\d\.)\d++(?=\.\d)")  # the 2.12 of 2.12.5
# What somebody wants, and where others are measured: `we aim for 0.9`, `if it is below 0.8`, `at a recall of 0.95`.
_WORDS = "abcdefghijklmnopqrstuvwxyz \t~-'\"`*$@&\x01"  # a sign or digit that is not here ends what belongs to a number
_WANTED = re.compile(
    r"\b(?:if(?! you (?:see|get))|unless|until|must|should(?! (?:be|read|see|get))|aim(?:s|ed|ing)? (?:for|at|to)|promise[sd]?"
    r"|(?:we|to|a) target|(?:targets?|goals?) (?:is|was|of|an?|at)|(?:hop(?:ed?|ing)|wanted) (?:for|to)|suppose|guarantee[sd]?"
    r"|assum(?:e[sd]?|ing)|(?:we|to|not) (?:require|expect)|needs? (?:at least|to)"
    r"|(?:(?:any|every)(?:thing|one)|only [a-z]+) (?:above|below|under|over))\b"
    r"|\b(?:at|under|for) (?:an? |the )?(?:(?:fixed|given|constant) |(?:specificity|load|false[ -]positive rate|fpr) of)"
    r"|(?:^|[\n.!?(])[ *-]*(?:to [a-z]+ |at (?:.* of )?\$?$)"
)
_ON_AVERAGE = re.compile(r"\$?(?:[\s~]\(?[a-z-]+){1,4}[\s~]on average\b")
_AVERAGED = re.compile(r"\b(?:average|mean|median|percentile) (?:of )?[a-z][a-z -]{0,30} (?:is|was|are|were) \$?$")
_SHORT, _PROGRAM = re.compile(r"[1-9]\.\d\d?|1?\d"), re.compile(r"[^.!?\s] ?[ (][A-Z][\w-]*[ ~]$")
_ITEM = re.compile(r"[.)][ \t]")
_SCALE = frozenset({"0", "1", "-1", "0.0", "1.0"})  # ends of a scale
_FARTHEST, _COUNTS = 90, frozenset({"errors", "results", "scores"})


class Cues:
    """The words of a text that say what its numbers are. It is asked for one number after the other, from start to end."""

    def __init__(self, text: str, names: Set[str] = frozenset()) -> None:
        self._cased = text
        self._text = text.lower() if len(text.lower()) == len(text) else text.replace("İ", "I").lower()
        self._names = names  # words that are names of models here
        self._versions = {text[max(0, point.start() - 2) : point.end()].lstrip(" v([") for point in _LONGER.finditer(text)}
        self._ahead = self._next(0)
        self._name: re.Match[str] | None = None
        self._near: re.Match[str] | None = None  # the one before the number that is not a name, and the one before that
        self._earlier: re.Match[str] | None = None
        self._item = 0  # the number of the last item of a list
        self._last: tuple[Verdict | None, int] = (None, 0)  # of the number before, and where what belongs to it ends

    def verdict(self, start: int, stop: int) -> Verdict | None:
        """What the words beside a number say that it is."""
        ahead = self._ahead
        while ahead is not None and ahead.end() <= start:
            if _KIND[ahead.lastindex or 0] == "name":
                self._name = ahead
            else:
                self._earlier, self._near = self._near, ahead
            ahead = self._ahead = self._next(max(ahead.end(), start - _FARTHEST))
        digits = self._text[start:stop]
        whole = digits.isdecimal()
        if whole and self._is_item(digits, start, stop):
            self._last = (None, stop)
            return None
        verdict, before = self._last
        joined = verdict == "setting" and start - before < _FARTHEST and _CHAIN.fullmatch(self._text, before, start)
        found, end = verdict if joined else self._before(start, whole), stop
        if ahead is not None and ahead.start() - stop < _FARTHEST and (behind := self._behind(ahead, stop)):
            found = behind if found is None or joined or (whole and behind == "setting") else found
            end = stop if _KIND[ahead.lastindex or 0] == "interval" or ahead[0] in _COUNTS else ahead.end()
        if found is None and (
            digits in self._versions
            or (_SHORT.fullmatch(digits) and _PROGRAM.search(self._cased, max(0, start - 40), start))
            or _COMPARED.search(self._text, max(0, start - 9), start)
            or _PRICED.match(self._text, max(0, start - 1))
        ):
            found = "name"
        if found is None and verdict is not None and start - before < _FARTHEST:
            found = self._carried(verdict, before, start, stop)
        if found == "result" and whole and (re.fullmatch(r"(?:19|20)\d\d", digits) or _COUNTED.match(self._text, end)):
            found = None
        elif found == "result" and (digits in _SCALE or (digits in ("5", "10", "100") and self._text[start - 1] == "/")):
            found = "setting"
        elif found in (None, "setting") and (
            _ON_AVERAGE.match(self._text, stop) or (found and _AVERAGED.search(self._text, max(0, start - 60), start))
        ):
            found = "result"
        elif found == "name" and "." in digits[:-2]:
            self._versions.add(digits)
        self._last = (found, end)
        return found

    def _is_item(self, digits: str, start: int, stop: int) -> bool:
        """Whether a number begins an item of a list: on its line it is the first, and it is 1 or follows the item before."""
        before = self._text[max(0, start - 9) : start].rstrip(" \t>")
        found = _ITEM.match(self._text, stop) and before[-1:] in ("", "\n") and digits in ("1", str(self._item + 1))
        self._item = int(digits) if found else self._item
        return bool(found)

    def is_chosen(self, start: int, stop: int) -> bool:
        """Whether a number that may be a result is a target, a condition or the point at which others are measured."""
        near = max(0, start - 100)
        rest = self._text[near:start].rstrip(_WORDS)
        chosen = (
            _WANTED.search(self._text, near + max(0, len(rest) - 1), start)
            or _CHOSEN.match(self._text, stop)
            or _PRICE.match(self._text, max(0, start - 4))
            or (rest[-1:] == "=" and self._text[start:stop].isdecimal() and re.search(r"\b[a-z]\s?=$", rest))
        )
        self._last = ("setting", stop) if chosen else self._last
        return bool(chosen)

    def _next(self, start: int) -> re.Match[str] | None:
        while cue := _CUE.search(self._text, start):
            word, start = cue[0], cue.end()
            if word not in self._names and (word not in "pt" or self._cased[cue.start()] in "pT"):  # P is precision
                return cue
        return None

    def _before(self, start: int, whole: bool) -> Verdict | None:
        """What the nearest word before the number says; a word for a change only of decimals, or together with a metric."""
        text, name = self._text, self._name
        if name is not None and start - name.end() < 9 and _BEFORE["name"].fullmatch(text, name.end(), start):
            return "name"
        for cue in (self._near, self._earlier):
            if cue is None or start - cue.end() > _FARTHEST:
                break
            kind, end = _KIND[cue.lastindex or 0], cue.end()
            joined = start - end < 40 and _BEFORE[kind].fullmatch(text, end, start)
            if not _LINKS.isdisjoint(_TOKEN.findall(text, max(end, start - 16), start)):
                joined = joined or (kind in _ACROSS and _ACROSS[kind].fullmatch(text, end, start))
                if joined and cue is self._near and (head := self._earlier) and _OF.fullmatch(text, head.end(), cue.start()):
                    kind = _KIND[head.lastindex or 0]
            if joined and not (whole and kind == "change"):
                return "setting" if kind == "setting" else "result"
            if kind != "change":
                break
        return None

    def _behind(self, cue: re.Match[str], stop: int) -> Verdict | None:
        kind = _KIND[cue.lastindex or 0]
        if kind not in _BEHIND or not _BEHIND[kind].fullmatch(self._text, stop, cue.start()):
            return None
        return "setting" if kind in ("setting", "interval") else "result"

    def _carried(self, verdict: Verdict, end: int, start: int, stop: int) -> Verdict | None:
        """What the number before, which ends at `end`, says of one joined to it: `0.6 and 0.8`, `ours 71, theirs 68`."""
        if _CHAIN.fullmatch(self._text, end, start):
            return verdict
        if verdict != "result" or not _END.match(self._text, stop) or not _CONTRAST.fullmatch(self._text, end, start):
            return None
        other = self._near is not None and self._near.end() > end and _KIND[self._near.lastindex or 0] == "metric"
        return None if other else "result"


Cells = Sequence[tuple[int, int]]

_NO_RESULTS = re.compile(
    rf"years?|dates?|versions?|id|#|n[or]\.?|ports?|pages?|lines?|sections?|issues?|status|code|commit|since|steps?|runs?|folds?|trials?|rank|rang|place|pos(?:ition)?|index|idx|stride|v?ram|price.*|defaults?|{SETTING_LABEL}"
)
_OF_SETTINGS = re.compile(r"(?:hyper-?)?parameters?|settings?|options?|flags?|arguments?|config(?:uration)?")
_MARKUP = re.compile(r"\\[a-zA-Z]+|[\W_]")
_LONGEST_ROW = 2000
_RESULT_LIKE = re.compile(r"\d\.\d|\d[kKMB]\b")


class ResultSpan(NamedTuple):
    """A part of a document in which every number looks like a result, and why; or none does, however it looks."""

    start: int
    end: int
    why: str | None


GREEK = frozenset({"alpha", "beta", "gamma", "epsilon", "lambda", "tau", "theta"})


def results_in_tables(prose: Prose) -> tuple[list[ResultSpan], Set[str]]:
    """The cells and values in which every number looks like a result, in order; and the Greek letters that rows of tables of
    results are called: `gamma` is a model there, in the text it is a setting.
    """
    text, names = prose.text, set[str]()
    spans = [ResultSpan(start, end, "in the model-index") for start, end in prose.values]
    spans += _columns(text) if prose.kind == "text" else _numeric(text, _rows(text, prose.kind), names)
    return sorted([*spans, *_numeric(text, prose.rows, names)], key=itemgetter(0)), names


def _numeric(text: str, rows: Iterable[tuple[bool, Cells]], names: set[str]) -> Iterator[ResultSpan]:
    """The numeric cells below each header, except those of the first column; those of columns and tables without results, and
    headers, as parts without results. Adds the Greek letters that rows are called to `names`.
    """
    reasons: dict[int, str | None] = {}
    usual: str | None = "in a table"
    for is_header, cells in rows:
        if is_header:
            labels = [text[start:end].strip(" *_\n\t").lower() for start, end in cells]
            reasons = {n: None for n, label in enumerate(labels) if _NO_RESULTS.fullmatch(label) or (not n and len(label) == 1)}
            usual = None if labels and _OF_SETTINGS.fullmatch(labels[0]) else "in a table"
            if cells and not any(map(is_numeric, labels[1:])):
                yield ResultSpan(cells[0][0], cells[-1][1], None)
        elif usual and cells and (name := _MARKUP.sub("", text[slice(*cells[0])].lower())) in GREEK:
            names.add(name)
        for column, (start, end) in enumerate(() if is_header else cells):
            why = reasons.get(column, usual)
            if (column or why is None) and is_numeric(text[start:end]):
                yield ResultSpan(start, end, why)


def _rows(text: str, kind: Kind) -> Iterator[tuple[bool, Cells]]:
    """The rows of tables, and whether each is a header: in LaTeX and CSV the first one, else that above a line of dashes."""
    offset, before, inside, done = 0, ("", 0), False, 0
    for table in TABULAR.finditer(text) if kind == "latex" else ():
        if table.start() >= done:
            rows, done = tabular_rows(text, table.end(), table["name"])
            yield from ((not number, cells) for number, cells in enumerate(rows))
    for line in text.split("\n") if kind == "csv" or ("|" in text and kind != "latex") else ():
        if kind == "csv":
            yield not offset, pipe_cells(f"|{line}|", offset - 1)
        elif "|" not in line:
            if line[:1] == "+" and "=" in line and not line.strip("+-=: \t\r"):  # below the header of a grid
                yield True, pipe_cells(*before)
            inside = line[:1] == "+" and (inside or "=" in line)
        else:
            quoted = len(line) - len(line.lstrip("> \t")) if ">" in line[:9] else 0
            row = (line[quoted:], offset + quoted)
            if "-" in line and not row[0].strip("|:- \t\r"):
                inside = True
                yield True, pipe_cells(*before)
            elif inside:
                yield False, pipe_cells(*row)
            before = row
        offset += len(line) + 1


def _columns(text: str) -> Iterator[ResultSpan]:
    """The numbers at the ends of lines of plain text: two or more of them, or one where the lines around are like that."""
    before, last, given, offset = ResultSpan(0, 0, "in a table"), -9, True, 0
    for number, line in enumerate(text.split("\n")):
        words, count = _tail(line) if 1 < len(line) <= _LONGEST_ROW else (0, 0)
        parts = line.rsplit(None, words) if count else []
        start = len(parts[0]) if len(parts) > words else 0
        if count > 1 or (count and _RESULT_LIKE.search(line, start)):
            beside, span = number - last <= 2, before._replace(start=offset + start, end=offset + len(line))
            if beside and not given:
                yield before
            given = count > 1 or beside
            if given:
                yield span
            before, last = span, number
        offset += len(line) + 1


def _tail(line: str) -> tuple[int, int]:
    """How many words at the end of a line are numbers or stand for none, and how many are numbers."""
    words = count = 0
    for word in reversed(line.split()):
        if any(map(str.isdecimal, word)):
            if word[-1] in ",;:." or not is_numeric(word):
                break
            count += 1
        elif word.strip("|-–—~"):
            break
        words += 1
    return words, count
