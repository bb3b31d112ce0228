"""Names and words in a file: what describes the film, what described the old file, and what each container holds."""

from __future__ import annotations

OF_THE_FILE = {"major_brand", "minor_version", "compatible_brands", "encoder"}  # facts about the old file, not the film
OF_THE_STREAM = ("_STATISTICS", "BPS", "DURATION", "NUMBER_OF_", "ENCODER", "ALPHA_MODE", "VENDOR_ID")

# The languages that mov has a number for, by the names under which ffmpeg knows them; the same by other names.
QUICKTIME_LANGUAGES = (
    "eng fra ger ita dut sve spa dan por nor heb jpn ara fin gre ice mlt tur urd hin tha kor lit pol hun est "
    "lav rus chi iri alb ron ces slk slv yid mac bul ukr bel uzb kaz aze arm geo mol kir tgk tuk mon pus kur "
    "kas snd tib nep san mar ben asm guj ori mal kan tam tel bur khm lao vie ind tgl may amh tir som swa run "
    "mlg epo wel baq cat lat que grn aym tat uig dzo jav"
)
QUICKTIME_SAYS = {
    "fre": "fra", "deu": "ger", "nld": "dut", "swe": "sve", "ell": "gre", "isl": "ice", "zho": "chi", "rum": "ron",
    "cze": "ces", "slo": "slk", "mkd": "mac", "hye": "arm", "kat": "geo", "sqi": "alb", "fas": "iri", "per": "iri",
    "bod": "tib", "mya": "bur", "msa": "may", "cym": "wel", "eus": "baq", "hrv": "hr ", "srp": "sr ", "pan": "pa ",
    "fao": "fo ",
}  # fmt: skip


# Names that mp4 and mov have a place for (found by writing and reading back); Matroska takes any.
QUICKTIME = {
    "album", "artist", "comment", "copyright", "creation_time", "date", "genre", "location", "location-eng", "title",
}  # fmt: skip
ITUNES = {
    "album_artist", "compilation", "composer", "description", "disc", "episode_id", "episode_sort",
    "gapless_playback", "grouping", "hd_video", "keywords", "lyrics", "media_type", "network", "season_number",
    "show", "synopsis", "track",
}  # fmt: skip
HELD = {"mov": QUICKTIME | {"make", "model"}, "mp4": QUICKTIME | ITUNES}


def stream_names(metadata: dict[str, str]) -> dict[str, str]:
    """A stream's metadata without what described its old coding."""
    names = {key: value for key, value in metadata.items() if not key.upper().startswith(OF_THE_STREAM)}
    if "name" in names and "title" not in names:
        names["title"] = names.pop("name")  # what mov calls it
    return names


def names_for(metadata: dict[str, str], container: str) -> tuple[dict[str, str], list[str]]:
    """A stream's metadata as a container writes it, and what that loses, in words."""
    names = stream_names(metadata)
    language = names.get("language", "und")
    if container != "mov" or language in QUICKTIME_LANGUAGES.split() or language == "und":
        return names, []
    if language in QUICKTIME_SAYS:
        return {**names, "language": QUICKTIME_SAYS[language]}, []
    return names, [f"loses its language: a .mov file has no name for {language}"]


def file_names(metadata: dict[str, str]) -> dict[str, str]:
    """A file's metadata without what described the old file."""
    return {key: value for key, value in metadata.items() if key.lower() not in OF_THE_FILE}
