"""Every sentence of the page. A language is one `Labels` and one `Messages`; mypy checks that none
is missing, the tests that the placeholders agree.

`Labels` stand on the page and are chosen by the browser (Gradio's I18n). `Messages` are made on
the server, which follows the request's Accept-Language.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from chromagan.demo.limits import Limits


@dataclass(frozen=True)
class Labels:
    """Static texts; `{…}` is filled from `Limits` when the page is built."""

    title: str
    tagline: str
    honest: str
    tab_photo: str
    tab_batch: str
    tab_video: str
    tab_about: str
    photo: str
    photo_drop: str
    historic: str
    colour_examples: str
    network: str
    network_lite: str
    network_full: str
    network_no_class: str
    network_no_gan: str
    network_hub: str
    result: str
    view: str
    view_before: str
    view_half: str
    view_after: str
    saturation: str
    saturation_info: str
    temperature: str
    temperature_info: str
    stamp: str
    download: str
    download_again: str
    three_way: str
    classes: str
    compare: str
    compare_info: str
    compare_button: str
    history: str
    history_info: str
    history_clear: str
    batch_files: str
    batch_info: str
    batch_button: str
    batch_cancel: str
    batch_gallery: str
    batch_zip: str
    video_input: str
    video_info: str
    video_button: str
    video_output: str
    video_missing: str
    privacy: str
    about: str

    def filled(self, limits: Limits) -> dict[str, str]:
        """The texts by key, with the limits in them."""
        values = asdict(limits)
        filled = {key: text.format(**values) for key, text in asdict(self).items()}
        return filled | {"masthead": f"# {self.title}\n\n{self.tagline}"}


@dataclass(frozen=True)
class Messages:
    """Texts made on the server; `{…}` is filled where they are used."""

    time: str
    pixels: str
    note_colour: str
    note_toned: str
    note_animated: str
    psnr: str
    caption_grey: str
    caption_result: str
    caption_truth: str
    caption_network: str
    no_classes: str
    waiting: str
    example: str
    colouring: str
    left: str
    batch_done: str
    batch_failed: str
    batch_too_many: str
    batch_too_large: str
    batch_stopped: str
    video_done: str
    video_flicker: str
    video_bad: str
    video_long: str
    video_cut: str
    unusable: str
    expired: str
    no_photo: str
    no_files: str
    no_video: str
    unknown_network: str
    bad_look: str
    internal: str


ENGLISH = Labels(
    title="ChromaGAN",
    tagline="Old photographs, in colour.",
    honest="The colours are plausible, not true: the network has never seen the scene.",
    tab_photo="One photo",
    tab_batch="Several photos",
    tab_video="Video",
    tab_about="About, API, privacy",
    photo="Your photo",
    photo_drop="Drop a photo here, paste one, or click to choose",
    historic="Historic photographs",
    colour_examples="Colour photographs, shown as grey",
    network="Network",
    network_lite="lite · light trunk, fastest",
    network_full="full · the paper's ChromaGAN (short training)",
    network_no_class="no-class · without class guidance (short training)",
    network_no_gan="no-gan · ChromaNet, without adversary (short training)",
    network_hub="from the Hugging Face Hub",
    result="Before and after",
    view="Show",
    view_before="before",
    view_half="both",
    view_after="after",
    saturation="Saturation",
    saturation_info="1 = as predicted, 0 = grey",
    temperature="Temperature",
    temperature_info="left cooler, right warmer",
    stamp='Print a small "AI-colorized" into the picture',
    download="Download PNG, full resolution",
    download_again="Save the file",
    three_way="Grey input, result, original",
    classes="What the network saw",
    compare="Compare the networks",
    compare_info="Runs every installed network on this photo: the paper's ablation, side by side.",
    compare_button="Compare",
    history="Your photos of this visit",
    history_info=(
        "Only you see them. The newest {history} are kept, at most {keep_minutes} minutes."
    ),
    history_clear="Forget them all",
    batch_files="Photos",
    batch_info=(
        "Up to {batch_files} photos, {batch_megapixels} megapixels together. A file that cannot "
        "be read is named and left out; the rest is done. Network and sliders: as set under "
        "“One photo”."
    ),
    batch_button="Colorize all",
    batch_cancel="Stop",
    batch_gallery="Results",
    batch_zip="Download all as ZIP",
    video_input="A short clip",
    video_info=(
        "The first {video_seconds:g} seconds, at most {video_side} pixels wide or high, sound "
        "kept. Each frame is colorized on its own, then the chroma is smoothed over time: "
        "flicker becomes weaker, it does not vanish."
    ),
    video_button="Colorize the clip",
    video_output="Result",
    video_missing=(
        "Video needs the package `av` (PyAV): `pip install av`, then start the page again."
    ),
    privacy=(
        "Your photos stay between you and this server: kept in a private temporary folder for at "
        "most {keep_minutes} minutes, never published, never used for training, no cookies, no "
        "statistics. Downloads carry no camera data or place, only a note that the colours "
        "are AI-made."
    ),
    about=(
        "### What this is\n"
        "A network with a sense of *what* it sees: ChromaGAN (Vitoria, Raad and Ballester, WACV "
        "2020) predicts the two chroma channels of a photograph from its brightness, guided by a "
        "distribution over 1,000 object classes. The brightness of your photo is kept, at full "
        "resolution.\n\n"
        "### What it is not\n"
        "A source about the past. Uniforms, eyes, cars and walls get colours that are *usual*, "
        "not the ones that were there. Say so when you publish a result; the PNG says so in its "
        "metadata.\n\n"
        "### Limits\n"
        "Files up to {file_megabytes} MB and {megapixels} megapixels (told by the header, before "
        "decoding). JPEG, PNG, WebP, TIFF, BMP, GIF (first frame), HEIC and AVIF; 16-bit, CMYK, "
        "transparency and colour profiles are handled. Waiting line: {queue} requests.\n\n"
        "### Privacy\n"
        "Uploads and results lie in a temporary folder of this server under random names and are "
        "deleted within {keep_minutes} minutes, and when the server stops. “Forget them all” "
        "deletes them at once. There is no account, no cookie, no "
        "analytics, and no list of what visitors did.\n\n"
        "### API\n"
        "```python\n"
        "from gradio_client import Client, handle_file\n\n"
        'client = Client("http://127.0.0.1:7860")  # or "<user>/<space>"\n'
        'png = client.predict(handle_file("old.jpg"), api_name="/colorize")\n'
        'classes = client.predict(handle_file("old.jpg"), api_name="/classes")\n'
        "```\n"
        'All endpoints with their parameters: "Use via API" at the foot of the page.'
    ),
)

GERMAN = Labels(
    title="ChromaGAN",
    tagline="Alte Fotografien, in Farbe.",
    honest="Die Farben sind plausibel, nicht wahr: Das Netz hat die Szene nie gesehen.",
    tab_photo="Ein Foto",
    tab_batch="Mehrere Fotos",
    tab_video="Video",
    tab_about="Über, API, Datenschutz",
    photo="Ihr Foto",
    photo_drop="Foto hierher ziehen, einfügen oder klicken und auswählen",
    historic="Historische Fotografien",
    colour_examples="Farbfotos, grau gezeigt",
    network="Netz",
    network_lite="lite · leichter Rumpf, am schnellsten",
    network_full="full · ChromaGAN wie in der Arbeit (kurz trainiert)",
    network_no_class="no-class · ohne Klassenführung (kurz trainiert)",
    network_no_gan="no-gan · ChromaNet, ohne Gegenspieler (kurz trainiert)",
    network_hub="vom Hugging Face Hub",
    result="Vorher und nachher",
    view="Zeigen",
    view_before="vorher",
    view_half="beides",
    view_after="nachher",
    saturation="Sättigung",
    saturation_info="1 = wie vorhergesagt, 0 = grau",
    temperature="Farbtemperatur",
    temperature_info="links kühler, rechts wärmer",
    stamp="Kleines „AI-colorized“ ins Bild schreiben",
    download="PNG in voller Auflösung laden",
    download_again="Datei speichern",
    three_way="Graue Eingabe, Ergebnis, Original",
    classes="Was das Netz gesehen hat",
    compare="Netze vergleichen",
    compare_info="Rechnet dieses Foto mit jedem vorhandenen Netz: die Ablation der Arbeit.",
    compare_button="Vergleichen",
    history="Ihre Fotos dieses Besuchs",
    history_info=(
        "Nur Sie sehen sie. Die letzten {history} werden aufgehoben, höchstens "
        "{keep_minutes} Minuten."
    ),
    history_clear="Alle vergessen",
    batch_files="Fotos",
    batch_info=(
        "Bis zu {batch_files} Fotos, zusammen {batch_megapixels} Megapixel. Eine unlesbare Datei "
        "wird genannt und ausgelassen; der Rest wird erledigt. Netz und Regler: wie unter „Ein "
        "Foto“ eingestellt."
    ),
    batch_button="Alle kolorieren",
    batch_cancel="Anhalten",
    batch_gallery="Ergebnisse",
    batch_zip="Alle als ZIP laden",
    video_input="Ein kurzer Film",
    video_info=(
        "Die ersten {video_seconds:g} Sekunden, höchstens {video_side} Pixel breit oder hoch, der "
        "Ton bleibt. Jedes Bild wird für sich koloriert, dann wird die Farbe über die Zeit "
        "geglättet: Das Flackern wird schwächer, es verschwindet nicht."
    ),
    video_button="Film kolorieren",
    video_output="Ergebnis",
    video_missing=(
        "Für Video fehlt das Paket `av` (PyAV): `pip install av`, dann die Seite neu starten."
    ),
    privacy=(
        "Ihre Fotos bleiben zwischen Ihnen und diesem Server: höchstens {keep_minutes} Minuten in "
        "einem privaten temporären Ordner, nie veröffentlicht, nie zum Training benutzt, keine "
        "Cookies, keine Statistik. Downloads tragen weder Kameradaten noch Ort, nur den Vermerk, "
        "dass die Farben von einer KI sind."
    ),
    about=(
        "### Was das ist\n"
        "Ein Netz mit einem Sinn dafür, *was* es sieht: ChromaGAN (Vitoria, Raad und Ballester, "
        "WACV 2020) sagt aus der Helligkeit eines Fotos die beiden Farbkanäle voraus, geführt "
        "von einer Verteilung über 1000 Objektklassen. Die Helligkeit Ihres Fotos bleibt "
        "erhalten, in voller Auflösung.\n\n"
        "### Was das nicht ist\n"
        "Eine Quelle über die Vergangenheit. Uniformen, Augen, Autos und Wände bekommen *übliche* "
        "Farben, nicht die damaligen. Sagen Sie das dazu, wenn Sie ein Ergebnis veröffentlichen; "
        "das PNG sagt es in seinen Metadaten.\n\n"
        "### Grenzen\n"
        "Dateien bis {file_megabytes} MB und {megapixels} Megapixel (laut Dateikopf, vor dem "
        "Dekodieren). JPEG, PNG, WebP, TIFF, BMP, GIF (erstes Bild), HEIC und AVIF; 16 Bit, CMYK, "
        "Transparenz und Farbprofile werden beachtet. Warteschlange: {queue} Anfragen.\n\n"
        "### Datenschutz\n"
        "Hochgeladenes und Ergebnisse liegen unter zufälligen Namen in einem temporären Ordner "
        "dieses Servers und werden innerhalb von {keep_minutes} Minuten gelöscht, und wenn der "
        "Server endet. „Alle vergessen“ löscht sofort. Es gibt kein Konto, keine "
        "Cookies, keine Analyse und keine Liste dessen, was Besucher getan haben.\n\n"
        "### API\n"
        "```python\n"
        "from gradio_client import Client, handle_file\n\n"
        'client = Client("http://127.0.0.1:7860")  # oder "<user>/<space>"\n'
        'png = client.predict(handle_file("alt.jpg"), api_name="/colorize")\n'
        'classes = client.predict(handle_file("alt.jpg"), api_name="/classes")\n'
        "```\n"
        "Alle Endpunkte mit ihren Parametern: „Über API verwenden“ am Fuß der Seite."
    ),
)

ENGLISH_MESSAGES = Messages(
    time="{seconds} on {device}",
    pixels="{width} × {height} px",
    note_colour=(
        "This photo has colours of its own. It was turned grey first; its colours now serve as "
        "the truth to compare with."
    ),
    note_toned="A toned print: its tint was removed before colorizing.",
    note_animated="An animation: the first frame is used.",
    psnr=(
        "PSNR <b>{result} dB</b> against the original; left grey it would be {grey} dB "
        "(8-bit RGB, {width} × {height} px)."
    ),
    caption_grey="grey input",
    caption_result="ChromaGAN",
    caption_truth="original",
    caption_network="{network} · {seconds}",
    no_classes="This checkpoint has no class head.",
    waiting="Drop a photo on the left, or pick one of the examples.",
    example="An example to begin with: drop your own photo on the left, or pick another.",
    colouring="{name} ({number} of {total})",
    left="about {seconds} left",
    batch_done="{done} of {total} photos colorized in {seconds}.",
    batch_failed="{name}: {reason}",
    batch_too_many="left out: a batch takes at most {limit} files",
    batch_too_large="left out: a batch takes at most {limit} megapixels together",
    batch_stopped="Stopped after {done} of {total} photos.",
    video_done="{frames} frames of {width} × {height} px in {seconds} on {device}.",
    video_flicker=(
        "Flicker, measured as the mean change of chroma between neighbouring frames where the "
        "picture itself stands still: {raw} before smoothing, {smooth} after (CIE ab units)."
    ),
    video_bad="{name} cannot be read as a video: {reason}.",
    video_long="Only the first {seconds:g} seconds were colorized.",
    video_cut="{name} has no picture track.",
    unusable="{name} cannot be used: {reason}.",
    expired=(
        "This photo is no longer on the server (kept {minutes} minutes). Please upload it again."
    ),
    no_photo="There is no photo yet: drop one on the left, or pick an example.",
    no_files="There are no files yet: add some photos first.",
    no_video="There is no clip yet: add one first.",
    unknown_network='There is no network called "{name}"; available: {names}.',
    bad_look="{reason}.",
    internal="Something went wrong on the server, not with your photo. Please try again.",
)

GERMAN_MESSAGES = Messages(
    time="{seconds} auf {device}",
    pixels="{width} × {height} px",
    note_colour=(
        "Dieses Foto hat eigene Farben. Es wurde zuerst grau gemacht; seine Farben dienen jetzt "
        "als Wahrheit zum Vergleich."
    ),
    note_toned="Ein getönter Abzug: Die Tönung wurde vor dem Kolorieren entfernt.",
    note_animated="Eine Animation: Das erste Bild wird benutzt.",
    psnr=(
        "PSNR <b>{result} dB</b> gegen das Original; grau gelassen wären es {grey} dB "
        "(8-Bit-RGB, {width} × {height} px)."
    ),
    caption_grey="graue Eingabe",
    caption_result="ChromaGAN",
    caption_truth="Original",
    caption_network="{network} · {seconds}",
    no_classes="Dieser Checkpoint hat keinen Klassenkopf.",
    waiting="Ziehen Sie links ein Foto hinein oder wählen Sie ein Beispiel.",
    example="Ein Beispiel zum Anfang: Ziehen Sie links Ihr eigenes Foto hinein.",
    colouring="{name} ({number} von {total})",
    left="noch etwa {seconds}",
    batch_done="{done} von {total} Fotos koloriert in {seconds}.",
    batch_failed="{name}: {reason}",
    batch_too_many="ausgelassen: höchstens {limit} Dateien auf einmal",
    batch_too_large="ausgelassen: höchstens {limit} Megapixel auf einmal",
    batch_stopped="Angehalten nach {done} von {total} Fotos.",
    video_done="{frames} Bilder mit {width} × {height} px in {seconds} auf {device}.",
    video_flicker=(
        "Flackern, gemessen als mittlere Farbänderung zwischen Nachbarbildern, wo das Bild selbst "
        "stillsteht: {raw} vor dem Glätten, {smooth} danach (CIE-ab-Einheiten)."
    ),
    video_bad="{name} lässt sich nicht als Video lesen: {reason}.",
    video_long="Nur die ersten {seconds:g} Sekunden wurden koloriert.",
    video_cut="{name} hat keine Bildspur.",
    unusable="{name} lässt sich nicht verwenden: {reason}.",
    expired=(
        "Dieses Foto liegt nicht mehr auf dem Server ({minutes} Minuten). Bitte noch einmal "
        "hochladen."
    ),
    no_photo="Noch kein Foto: Ziehen Sie links eines hinein oder wählen Sie ein Beispiel.",
    no_files="Noch keine Dateien: Fügen Sie zuerst Fotos hinzu.",
    no_video="Noch kein Film: Fügen Sie zuerst einen hinzu.",
    unknown_network="Ein Netz „{name}“ gibt es nicht; vorhanden: {names}.",
    bad_look="{reason}.",
    internal="Auf dem Server ging etwas schief, nicht mit Ihrem Foto. Bitte noch einmal versuchen.",
)

LABELS = {"en": ENGLISH, "de": GERMAN}
MESSAGES = {"en": ENGLISH_MESSAGES, "de": GERMAN_MESSAGES}


def language_for(accept_language: str | None) -> str:
    """The best of our languages for an Accept-Language header; English where nothing fits.

    The header lists languages with weights (RFC 9110 §12.5.4): `de-AT,de;q=0.9,en;q=0.5`.
    """
    ranked: list[tuple[float, str]] = []
    for part in (accept_language or "").split(","):
        tag, _, parameter = part.strip().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            weight = 0.0
        ranked.append((weight, tag.strip().lower().split("-")[0]))
    for weight, language in sorted(ranked, key=lambda entry: -entry[0]):
        if weight > 0 and language in MESSAGES:
            return language
    return "en"


def seconds_text(seconds: float) -> str:
    """ "0.42 s", "12 s", "3 min 20 s"."""
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds >= 0.1 else f"{max(seconds, 0):.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
