one node of app more:
  runner.hart.scale:
    - args:
      - role: app
      - delta: 1
      - max: 10
      - cooldown: 300
      - __event__: {{ tag | tojson }}
