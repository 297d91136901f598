"""The networks: generator (two architectures, one design), critic, teacher."""

from chromagan.model.generator import Generator, GeneratorOutput, build_generator, enlarge_ab
from chromagan.model.vgg import Critic

__all__ = ["Critic", "Generator", "GeneratorOutput", "build_generator", "enlarge_ab"]
