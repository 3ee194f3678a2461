as many as the pillar says:
  hart.scaled:
    - role: app
    - count: {{ pillar['count'] | tojson }}
