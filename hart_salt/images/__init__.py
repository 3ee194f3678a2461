"""Images that hart makes of nodes: bake, generalise, list, delete."""
