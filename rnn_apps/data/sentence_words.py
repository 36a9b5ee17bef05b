"""The words of the built-in sentences: English, German, and what grammar needs to know of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """A noun; `weak` ones take the form of the plural in all cases but the nominative singular."""

    english: str
    english_plural: str
    german: str
    german_plural: str
    gender: str  # "m", "f" or "n"
    kind: str  # "person" or "thing"
    weak: bool = False


@dataclass(frozen=True)
class Adjective:
    """An adjective; `stem` stands before endings."""

    english: str
    german: str
    stem: str
    kinds: tuple[str, ...]  # of nouns it goes with
    passing: bool = False  # it may be so today and not tomorrow


@dataclass(frozen=True)
class Verb:
    """A verb in both languages, with what it governs.

    `english` are the base form, the third person singular and the past; `german` the infinitive
    without its prefix, the first and the third person singular of the present, and the participle.
    """

    english: tuple[str, str, str]
    german: tuple[str, str, str, str]
    prefix: str = ""  # that parts from the German verb: "an" of "anrufen"
    auxiliary: str = "haben"
    objects: tuple[str, ...] = ()  # kinds of nouns; none for a verb without an object
    case: str = "accusative"
    particle: str = ""  # of the English verb: "up" of "pick up"
    prepositions: tuple[str, str] = ("", "")  # before the object, English and German
    calm: bool = False  # it goes with no manner: "need", "know"


@dataclass(frozen=True)
class Pronoun:
    """A personal pronoun."""

    english: str
    english_object: str
    german: str
    accusative: str
    dative: str
    person: int
    plural: bool = False


_WEAK = ("Junge", "Nachbar", "Student")
PERSONS = tuple(
    Noun(*forms, "person", weak=forms[2] in _WEAK)
    for forms in (
        ("man", "men", "Mann", "Männer", "m"),
        ("boy", "boys", "Junge", "Jungen", "m"),
        ("teacher", "teachers", "Lehrer", "Lehrer", "m"),
        ("doctor", "doctors", "Arzt", "Ärzte", "m"),
        ("neighbour", "neighbours", "Nachbar", "Nachbarn", "m"),
        ("student", "students", "Student", "Studenten", "m"),
        ("brother", "brothers", "Bruder", "Brüder", "m"),
        ("friend", "friends", "Freund", "Freunde", "m"),
        ("uncle", "uncles", "Onkel", "Onkel", "m"),
        ("woman", "women", "Frau", "Frauen", "f"),
        ("sister", "sisters", "Schwester", "Schwestern", "f"),
        ("daughter", "daughters", "Tochter", "Töchter", "f"),
        ("aunt", "aunts", "Tante", "Tanten", "f"),
        ("nurse", "nurses", "Krankenschwester", "Krankenschwestern", "f"),
        ("child", "children", "Kind", "Kinder", "n"),
        ("girl", "girls", "Mädchen", "Mädchen", "n"),
    )
)
THINGS = tuple(
    Noun(*forms, "thing")
    for forms in (
        ("letter", "letters", "Brief", "Briefe", "m"),
        ("coat", "coats", "Mantel", "Mäntel", "m"),
        ("table", "tables", "Tisch", "Tische", "m"),
        ("chair", "chairs", "Stuhl", "Stühle", "m"),
        ("key", "keys", "Schlüssel", "Schlüssel", "m"),
        ("hat", "hats", "Hut", "Hüte", "m"),
        ("ball", "balls", "Ball", "Bälle", "m"),
        ("lamp", "lamps", "Lampe", "Lampen", "f"),
        ("cup", "cups", "Tasse", "Tassen", "f"),
        ("clock", "clocks", "Uhr", "Uhren", "f"),
        ("bag", "bags", "Tasche", "Taschen", "f"),
        ("newspaper", "newspapers", "Zeitung", "Zeitungen", "f"),
        ("book", "books", "Buch", "Bücher", "n"),
        ("car", "cars", "Auto", "Autos", "n"),
        ("bicycle", "bicycles", "Fahrrad", "Fahrräder", "n"),
        ("picture", "pictures", "Bild", "Bilder", "n"),
        ("knife", "knives", "Messer", "Messer", "n"),
        ("shirt", "shirts", "Hemd", "Hemden", "n"),
    )
)
_ALL = ("person", "thing")
ADJECTIVES = (
    Adjective("old", "alt", "alt", _ALL),
    Adjective("small", "klein", "klein", _ALL),
    Adjective("big", "groß", "groß", _ALL),
    Adjective("beautiful", "schön", "schön", _ALL),
    Adjective("young", "jung", "jung", ("person",)),
    Adjective("friendly", "freundlich", "freundlich", ("person",), True),
    Adjective("clever", "klug", "klug", ("person",)),
    Adjective("tired", "müde", "müd", ("person",), True),
    Adjective("sick", "krank", "krank", ("person",), True),
    Adjective("happy", "glücklich", "glücklich", ("person",), True),
    Adjective("new", "neu", "neu", ("thing",)),
    Adjective("red", "rot", "rot", ("thing",)),
    Adjective("black", "schwarz", "schwarz", ("thing",)),
    Adjective("heavy", "schwer", "schwer", ("thing",)),
    Adjective("cheap", "billig", "billig", ("thing",)),
    Adjective("expensive", "teuer", "teur", ("thing",)),
)
_T, _P = {"objects": ("thing",)}, {"objects": ("person",)}
_D = {"objects": ("person",), "case": "dative"}
_S = {"auxiliary": "sein"}
TRANSITIVE = tuple(
    Verb((base, third, past), tuple(german.split()), **how)
    for base, third, past, german, how in (
        ("buy", "buys", "bought", "kaufen kaufe kauft gekauft", _T),
        ("sell", "sells", "sold", "verkaufen verkaufe verkauft verkauft", _T),
        ("need", "needs", "needed", "brauchen brauche braucht gebraucht", _T | {"calm": True}),
        ("repair", "repairs", "repaired", "reparieren repariere repariert repariert", _T),
        ("clean", "cleans", "cleaned", "putzen putze putzt geputzt", _T),
        ("carry", "carries", "carried", "tragen trage trägt getragen", _T),
        ("lose", "loses", "lost", "verlieren verliere verliert verloren", _T | {"calm": True}),
        ("throw", "throws", "threw", "werfen werfe wirft weggeworfen",
         _T | {"prefix": "weg", "particle": "away"}),
        ("give", "gives", "gave", "geben gebe gibt zurückgegeben",
         _T | {"prefix": "zurück", "particle": "back"}),
        ("pack", "packs", "packed", "packen packe packt eingepackt",
         _T | {"prefix": "ein", "particle": "up"}),
        ("call", "calls", "called", "rufen rufe ruft angerufen", _P | {"prefix": "an"}),
        ("invite", "invites", "invited", "laden lade lädt eingeladen", _P | {"prefix": "ein"}),
        ("pick", "picks", "picked", "holen hole holt abgeholt",
         _P | {"prefix": "ab", "particle": "up"}),
        ("wake", "wakes", "woke", "wecken wecke weckt aufgeweckt",
         _P | {"prefix": "auf", "particle": "up"}),
        ("visit", "visits", "visited", "besuchen besuche besucht besucht", _P),
        ("greet", "greets", "greeted", "begrüßen begrüße begrüßt begrüßt", _P),
        ("know", "knows", "knew", "kennen kenne kennt gekannt", _P | {"calm": True}),
        ("see", "sees", "saw", "sehen sehe sieht gesehen", {"objects": _ALL, "calm": True}),
        ("find", "finds", "found", "finden finde findet gefunden", {"objects": _ALL, "calm": True}),
        ("look", "looks", "looked", "suchen suche sucht gesucht",
         {"objects": _ALL, "prepositions": ("for", "")}),
        ("help", "helps", "helped", "helfen helfe hilft geholfen", _D),
        ("thank", "thanks", "thanked", "danken danke dankt gedankt", _D),
        ("follow", "follows", "followed", "folgen folge folgt gefolgt", _D | _S),
        ("listen", "listens", "listened", "hören höre hört zugehört",
         _D | {"prefix": "zu", "prepositions": ("to", "")}),
        ("wait", "waits", "waited", "warten warte wartet gewartet",
         _P | {"prepositions": ("for", "auf"), "calm": True}),
        ("think", "thinks", "thought", "denken denke denkt gedacht",
         _P | {"prepositions": ("of", "an"), "calm": True}),
        ("laugh", "laughs", "laughed", "lachen lache lacht gelacht",
         _P | {"prepositions": ("at", "über"), "calm": True}),
        ("speak", "speaks", "spoke", "sprechen spreche spricht gesprochen",
         _D | {"prepositions": ("with", "mit"), "calm": True}),
    )
)  # fmt: skip
INTRANSITIVE = tuple(
    Verb((base, third, past), tuple(german.split()), **how)
    for base, third, past, german, how in (
        ("sleep", "sleeps", "slept", "schlafen schlafe schläft geschlafen", {}),
        ("work", "works", "worked", "arbeiten arbeite arbeitet gearbeitet", {}),
        ("cook", "cooks", "cooked", "kochen koche kocht gekocht", {}),
        ("dance", "dances", "danced", "tanzen tanze tanzt getanzt", {}),
        ("sing", "sings", "sang", "singen singe singt gesungen", {}),
        ("stay", "stays", "stayed", "bleiben bleibe bleibt geblieben", _S | {"calm": True}),
        ("get", "gets", "got", "stehen stehe steht aufgestanden",
         _S | {"prefix": "auf", "particle": "up"}),
        ("arrive", "arrives", "arrived", "kommen komme kommt angekommen", _S | {"prefix": "an"}),
        ("fall", "falls", "fell", "schlafen schlafe schläft eingeschlafen",
         _S | {"prefix": "ein", "particle": "asleep"}),
    )
)  # fmt: skip
MOVING = tuple(
    Verb((base, third, past), tuple(german.split()), **_S, **how)
    for base, third, past, german, how in (
        ("go", "goes", "went", "gehen gehe geht gegangen", {}),
        ("drive", "drives", "drove", "fahren fahre fährt gefahren", {}),
        ("run", "runs", "ran", "laufen laufe läuft gelaufen", {}),
        ("come", "comes", "came", "kommen komme kommt gekommen", {}),
        ("return", "returns", "returned", "kehren kehre kehrt zurückgekehrt", {"prefix": "zurück"}),
    )
)
GIVING = tuple(
    Verb((base, third, past), tuple(german.split()), objects=("thing",), calm=True)
    for base, third, past, german in (
        ("give", "gives", "gave", "geben gebe gibt gegeben"),
        ("show", "shows", "showed", "zeigen zeige zeigt gezeigt"),
        ("send", "sends", "sent", "schicken schicke schickt geschickt"),
        ("lend", "lends", "lent", "leihen leihe leiht geliehen"),
    )
)
# Verbs of a clause, with what introduces it.
SAYING = (
    (Verb(("say", "says", "said"), ("sagen", "sage", "sagt", "gesagt")), "that", "dass"),
    (Verb(("know", "knows", "knew"), ("wissen", "weiß", "weiß", "gewusst")), "that", "dass"),
    (Verb(("believe", "believes", "believed"), ("glauben", "glaube", "glaubt", "geglaubt")),
     "that", "dass"),
    (Verb(("hope", "hopes", "hoped"), ("hoffen", "hoffe", "hofft", "gehofft")), "that", "dass"),
    (Verb(("ask", "asks", "asked"), ("fragen", "frage", "fragt", "gefragt")), "whether", "ob"),
)  # fmt: skip
BE = Verb(("be", "is", "was"), ("sein", "bin", "ist", "gewesen"), calm=True)
PRONOUNS = (
    Pronoun("I", "me", "ich", "mich", "mir", 1),
    Pronoun("he", "him", "er", "ihn", "ihm", 3),
    Pronoun("she", "her", "sie", "sie", "ihr", 3),
    Pronoun("we", "us", "wir", "uns", "uns", 1, plural=True),
    Pronoun("they", "them", "sie", "sie", "ihnen", 3, plural=True),
)
# Where something is, and where somebody goes, in both languages.
PLACES = (
    ("in the garden", "im Garten", "to the garden", "in den Garten"),
    ("in the city", "in der Stadt", "to the city", "in die Stadt"),
    ("in the park", "im Park", "to the park", "in den Park"),
    ("in the forest", "im Wald", "to the forest", "in den Wald"),
    ("in the kitchen", "in der Küche", "to the kitchen", "in die Küche"),
    ("in the library", "in der Bibliothek", "to the library", "in die Bibliothek"),
    ("at the office", "im Büro", "to the office", "ins Büro"),
    ("at the station", "am Bahnhof", "to the station", "zum Bahnhof"),
    ("at the market", "auf dem Markt", "to the market", "auf den Markt"),
    ("on the beach", "am Strand", "to the beach", "zum Strand"),
    ("on the bridge", "auf der Brücke", "to the bridge", "zur Brücke"),
    ("at school", "in der Schule", "to school", "in die Schule"),
    ("at home", "zu Hause", "home", "nach Hause"),
)
# When, and the tenses it goes with.
_LATER = ("future", "can", "have to", "should", "want to")
TIMES = (
    ("today", "heute", ("present", "past", *_LATER)),
    ("now", "jetzt", ("present", "can", "have to", "should", "want to")),
    ("yesterday", "gestern", ("past",)),
    ("tomorrow", "morgen", _LATER),
    ("every morning", "jeden Morgen", ("present", "past", "have to", "want to")),
    ("in the evening", "am Abend", ("present", "past", *_LATER)),
    ("at night", "in der Nacht", ("present", "past")),
    ("on Monday", "am Montag", ("past", *_LATER)),
    ("on Friday", "am Freitag", ("past", *_LATER)),
    ("on Sunday", "am Sonntag", ("past", *_LATER)),
    ("in summer", "im Sommer", ("present", "past", "future")),
    ("in winter", "im Winter", ("present", "past", "future")),
)
FREQUENCIES = (("often", "oft"), ("always", "immer"), ("never", "nie"), ("sometimes", "manchmal"))
MANNERS = (
    ("quickly", "schnell"),
    ("slowly", "langsam"),
    ("carefully", "vorsichtig"),
    ("quietly", "leise"),
    ("secretly", "heimlich"),
)
SUBORDINATORS = (
    ("because", "weil"),
    ("although", "obwohl"),
    ("when", "wenn"),
    ("while", "während"),
)
