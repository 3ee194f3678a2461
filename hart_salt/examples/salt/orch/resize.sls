as many as the pillar says:
  salt.runner:
    - name: hart.scale
    - role: app
    - count: {{ pillar['count'] | tojson }}
