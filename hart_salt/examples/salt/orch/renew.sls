{# A new image of a role, and then nodes of this image, a few at a time: the fleet has drift: replace. #}
a new image:
  salt.runner:
    - name: hart.bake
    - role: {{ pillar['role'] | tojson }}

its nodes:
  hart.fleet:
    - name: {{ pillar['fleet'] | tojson }}
    - require:
      - salt: a new image
