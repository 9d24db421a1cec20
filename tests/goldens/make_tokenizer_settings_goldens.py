"""Make transformers_tokenizer_settings.json: texts of many scripts through BertTokenizer, slow and fast.

Three vocabularies are built from the texts themselves, some characters left out so that [UNK] occurs. The file holds,
for every setting of letter case, accents and Chinese characters, the pieces of the slow tokenizer joined by spaces,
and those of the fast one where they differ. Then the texts that this project reads otherwise on purpose.

    python -m venv .venv-peers && .venv-peers/bin/pip install torch==2.13.0 transformers==4.57.6 'numpy<2.3'
    .venv-peers/bin/python tests/goldens/make_tokenizer_settings_goldens.py

The file is made once. Make it anew only if its inputs must change; never to make a failing test pass.
"""

import itertools
import json
import pathlib
import tempfile

import transformers

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = {
    "cased": [
        "Café CAFÉ cafe Cafe",
        "cafe\u0301 CAFE\u0301 \u212bngstro\u0308m",  # decomposed: the slow tokenizer composes it
        "Ångström ÅNGSTRÖM angstrom",
        "Zoë's naïve co-op, NAÏVE!",
        "İstanbul ISTANBUL ıssız Iğdır",
        "Straße STRASSE GROẞ",
        "Đặng Thị Łódź ŁÓDŹ",
        "ΟΔΥΣΣΕΥΣ Οδυσσεύς",  # a final sigma: both lower-case letter by letter and do not know it
        "ﬁne ǅungla Ǆ x\u0301y",
        "soft\u00adhyphen zero\u200bwidth no\u00a0break",
    ],
    "multilingual": [
        "สวัสดีครับ ขอบคุณมาก",
        "नमस्ते दुनिया हिन्दी",
        "السَّلامُ عليكم كِتاب",
        "שָׁלוֹם עולם",
        "한국어 테스트 서울",
        "\u1112\u1161\u11ab\u1100\u116e\u11a8",  # the same syllables in jamo: the slow tokenizer composes them
        "ガギグ がぎぐ パン ぱん",
        "漢字かな交じり文です",
        "Ёлка ёлка ЙОД йод Україна",
        "👍🏽 👨‍👩‍👧 ❤️ 😀!",
        "¿Qué? «да» 「はい」。",
        "Việt Nam TIẾNG VIỆT",
    ],
    "chinese": [
        "我爱北京天安門",
        "中文abc混排123和DEF",
        "電影很好看，真的！",
        "\uf900\uf901 豈更",  # the slow tokenizer composes these compatibility forms into the plain ones
        "\U00020000\U0002a6a5字",
        "全角ＡＢＣａｂｃ１２",
        "Café在北京 naïve的人",
        "カタカナと漢字",
    ],
}
ON_PURPOSE = {
    "a special token is text": "x [SEP] x",
    "private use is kept": "x\ue000x",
    "unassigned is kept": "x\u0378x",
    "a word may have 200 characters": "co" * 75,
}


def make_vocabulary(texts: list[str]) -> list[str]:
    words = {
        word
        for lower, strip, chinese in itertools.product((True, False), repeat=3)
        for text in texts
        for word in transformers.models.bert.tokenization_bert.BasicTokenizer(
            lower, strip_accents=strip, tokenize_chinese_chars=chinese
        ).tokenize(text)
    }
    pieces = set()
    for index, word in enumerate(sorted(words)):
        half = len(word) // 2
        if index % 3 and half:
            pieces |= {word[:half], f"##{word[half:]}"}
        if index % 5:
            pieces |= {word[0], *(f"##{char}" for char in word[1:])}
    return SPECIAL + sorted(pieces)


def make_tokenizers(folder: str, vocabulary: list[str], **settings):
    vocab_file = pathlib.Path(folder) / "vocab.txt"
    vocab_file.write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
    return (
        transformers.BertTokenizer(str(vocab_file), **settings),
        transformers.BertTokenizerFast(vocab_file=str(vocab_file), **settings),
    )


def tokenize(texts: list[str], vocabulary: list[str], **settings) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        slow, fast = make_tokenizers(folder, vocabulary, **settings)
        both = {
            text: (" ".join(slow.tokenize(text)), " ".join(fast.tokenize(text))) for text in texts
        }
    return {
        "slow": [pieces for pieces, _ in both.values()],
        "fast_differs": {text: pieces for text, (other, pieces) in both.items() if pieces != other},
    }


def main() -> None:
    vocabularies = {name: make_vocabulary(texts) for name, texts in TEXTS.items()}
    vocabularies["cased"] = list(
        dict.fromkeys([*vocabularies["cased"], "x", "##x", "co", "##co", "[", "]", "sep"])
    )
    cases = []
    for name, lower, strip, chinese in itertools.product(
        TEXTS, (True, False), (None, True, False), (True, False)
    ):
        if name == "cased" and not chinese:
            continue  # it has no Chinese characters
        settings = {
            "do_lower_case": lower,
            "strip_accents": strip,
            "tokenize_chinese_chars": chinese,
        }
        pieces = tokenize(TEXTS[name], vocabularies[name], **settings)
        cases.append({"vocabulary": name, "settings": settings, **pieces})
    on_purpose = {
        reason: {"text": text, **tokenize([text], vocabularies["cased"])}
        for reason, text in ON_PURPOSE.items()
    }
    golden = {
        "vocabularies": vocabularies,
        "texts": TEXTS,
        "cases": cases,
        "on_purpose": on_purpose,
    }
    path = pathlib.Path(__file__).with_name("transformers_tokenizer_settings.json")
    path.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
