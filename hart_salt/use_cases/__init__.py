"""Groups of use cases of the service, which hands itself to each of them as its ``Parts``."""
