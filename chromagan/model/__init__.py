"""The networks: generator (two architectures, one design), critic, teacher."""

from chromagan.model.critic import Critic
from chromagan.model.generator import Generator, GeneratorOutput, build_generator, enlarge_ab

__all__ = ["Critic", "Generator", "GeneratorOutput", "build_generator", "enlarge_ab"]
