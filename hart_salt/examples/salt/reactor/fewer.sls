one node of app fewer:
  runner.hart.scale:
    - args:
      - role: app
      - delta: -1
      - min: 1
      - cooldown: 300
      - __event__: {{ tag | tojson }}
