"""Objects in an object store beside their files: keys, manifests, and the process that carries them there."""
