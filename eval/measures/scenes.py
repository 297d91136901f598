"""What a photograph shows, from the class probabilities that a network gives it.

`SCENES` says for each of ImageNet's classes what kind of scene it stands for: its first 398 classes
are animals, the names below are listed by kind, all others are objects. ImageNet has hardly any
class for people, so that clothes, hair and sports stand for them, and skin has a say.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from chromagan.inference.labels import IMAGENET_LABELS

KINDS = ("people", "animal", "outdoor", "indoor", "object", "food", "plant")
LEAST_PEOPLE = 0.2
"""Probability of the classes of `people` that makes a photograph one of people."""
LEAST_SKIN = 0.05
"""Share of skin-coloured pixels beside which a third of that probability is enough."""
_ANIMALS = 398

_LISTED = {
    "people": """
abaya; academic gown; apron; backpack; balance beam; ballplayer; Band Aid; barbell; basketball;
bathing cap; bearskin; bikini; bolo tie; bonnet; bow tie; brassiere; bulletproof vest; cardigan;
cloak; cowboy boot; cowboy hat; crash helmet; croquet ball; crutch; cuirass; diaper; dumbbell;
face powder; feather boa; football helmet; fur coat; gasmask; gown; groom; hair slide; hair spray;
hand blower; handkerchief; hoopskirt; horizontal bar; jean; jersey; kimono; knee pad; lab coat;
lipstick; lotion; maillot; maillot tank suit; mask; military uniform; miniskirt; mortarboard;
neck brace; necklace; overskirt; oxygen mask; pajama; parallel bars; pickelhaube; poncho;
punching bag; racket; rugby ball; sarong; scuba diver; shower cap; ski; ski mask; snorkel;
soccer ball; sombrero; stethoscope; stole; suit; sunglass; sunglasses; sunscreen; sweatshirt;
swimming trunks; swing; tennis ball; trench coat; unicycle; vestment; volleyball; wig; Windsor tie;
wool""",
    "outdoor": """
aircraft carrier; airliner; airship; alp; ambulance; amphibian; barn; beach wagon; beacon;
bell cote; bicycle-built-for-two; birdhouse; boathouse; bobsled; breakwater; bullet train; cab;
cannon; canoe; carousel; car mirror; car wheel; castle; catamaran; chainlink fence; church; cliff;
cliff dwelling; container ship; convertible; coral reef; crane; dam; dock; dogsled; dome;
drilling platform; electric locomotive; fireboat; fire engine; flagpole; fountain; freight car;
garbage truck; gas pump; geyser; go-kart; golfcart; gondola; half track; harvester; hay;
horse cart; jeep; jinrikisha; lakeside; lawn mower; lifeboat; limousine; liner; lumbermill;
manhole cover; maypole; maze; megalith; minibus; minivan; missile; mobile home; Model T; monastery;
moped; mosque; motor scooter; mountain bike; mountain tent; moving van; obelisk; oxcart; palace;
parachute; park bench; parking meter; passenger car; patio; picket fence; pickup; pier; pirate;
planetarium; plow; police van; promontory; racer; radio telescope; recreational vehicle; sandbar;
schooner; school bus; seashore; snowmobile; snowplow; solar dish; space shuttle; speedboat;
sports car; steam locomotive; steel arch bridge; stone wall; street sign; streetcar; stupa;
submarine; sundial; suspension bridge; tank; thatch; thresher; tile roof; totem pole; tow truck;
tractor; traffic light; trailer truck; tricycle; trimaran; triumphal arch; trolleybus; umbrella;
valley; viaduct; volcano; warplane; water tower; worm fence; wreck; yawl; yurt""",
    "indoor": """
altar; bakery; bannister; barber chair; barbershop; bassinet; bathtub; bookcase; bookshop;
butcher shop; chiffonier; china cabinet; cinema; confectionery; cradle; crib; desk;
desktop computer; dining table; dishwasher; entertainment center; file; fire screen; folding chair;
four-poster; grand piano; greenhouse; grocery store; home theater; lampshade; library;
medicine chest; microwave; monitor; mosquito net; organ; photocopier; plate rack; pool table;
prayer rug; printer; prison; quilt; radiator; refrigerator; restaurant; rocking chair; shoe shop;
shoji; shower curtain; sliding door; space heater; stage; stove; studio couch; table lamp;
television; theater curtain; throne; tobacco shop; toilet seat; toyshop; tub; turnstile; upright;
vault; vending machine; wardrobe; washbasin; washer; window screen; window shade""",
    "food": """
acorn squash; artichoke; bagel; banana; bell pepper; broccoli; burrito; butternut squash;
carbonara; cardoon; cauliflower; cheeseburger; chocolate sauce; consomme; corn; cucumber;
custard apple; dough; ear; eggnog; espresso; fig; French loaf; Granny Smith; guacamole;
head cabbage; hotdog; hot pot; ice cream; ice lolly; jackfruit; lemon; mashed potato; meat loaf;
menu; mushroom; orange; pineapple; pizza; plate; pomegranate; potpie; pretzel; red wine;
soup bowl; spaghetti squash; strawberry; trifle; wok; zucchini""",
    "plant": """
acorn; agaric; bolete; buckeye; coral fungus; daisy; earthstar; gyromitra; hen-of-the-woods; hip;
pot; rapeseed; stinkhorn; vase; yellow lady's slipper""",
}


def _scenes() -> tuple[str, ...]:
    listed = {
        " ".join(name.split()): kind for kind, names in _LISTED.items() for name in names.split(";")
    }
    return tuple(
        "animal" if index < _ANIMALS else listed.get(name, "object")
        for index, name in enumerate(IMAGENET_LABELS)
    )


SCENES: tuple[str, ...] = _scenes()
"""The kind of scene of every class, in the order of the class head."""


def kind_probabilities(classes: npt.NDArray[np.floating[Any]]) -> dict[str, float]:
    """Probabilities of the 1000 classes -> the probability of every kind."""
    return {kind: float(classes[np.array(SCENES) == kind].sum()) for kind in KINDS}


def kind_of(probabilities: dict[str, float], skin: float) -> str:
    """The kind of a photograph, given the share of its pixels that look like skin."""
    people = probabilities["people"]
    if people >= LEAST_PEOPLE or (people >= LEAST_PEOPLE / 3 and skin >= LEAST_SKIN):
        return "people"
    return max(KINDS, key=lambda kind: probabilities[kind])
