{{- /*
What every pod has in common. A migration comes before all else of a release, so it does without
the release's own service account and policies; .dsnKey is what it logs in to Postgres with.
*/ -}}
{{- define "booking-credits.podSpec" -}}
{{- $ := .root -}}
{{- if not .migrates }}
serviceAccountName: {{ include "booking-credits.name" $ }}
{{- end }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $.Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
volumes:
  - name: tmp
    emptyDir: { medium: Memory, sizeLimit: 16Mi }
  - name: secrets
    secret:
      secretName: {{ $.Values.secrets.name }}
      defaultMode: 0440
      items:
        - { key: {{ .dsnKey | quote }}, path: postgres-dsn }
        {{- with $.Values.secrets.kafkaPasswordKey }}
        - { key: {{ . | quote }}, path: kafka-password }
        {{- end }}
  {{- with $.Values.kafkaTlsSecret }}
  - name: kafka-tls
    secret: { secretName: {{ . }}, defaultMode: 0440 }
  {{- end }}
  {{- if and $.Values.policies (not .migrates) }}
  - name: policies
    configMap: { name: {{ include "booking-credits.name" $ }} }
  {{- end }}
{{- end }}

{{- define "booking-credits.container" -}}
{{- $ := .root -}}
image: {{ include "booking-credits.image" $ }}
imagePullPolicy: {{ $.Values.image.pullPolicy }}
args: {{ toJson .arguments }}
env:
  {{- range $name, $value := $.Values.settings }}
  - name: BOOKING_CREDITS_{{ upper $name }}
    value: {{ $value | toString | quote }}
  {{- end }}
  - name: BOOKING_CREDITS_POSTGRES_DSN_FILE
    value: /run/secrets/booking-credits/postgres-dsn
  {{- if $.Values.secrets.kafkaPasswordKey }}
  - name: BOOKING_CREDITS_KAFKA_PASSWORD_FILE
    value: /run/secrets/booking-credits/kafka-password
  {{- end }}
  {{- if and $.Values.policies (not .migrates) }}
  - name: BOOKING_CREDITS_POLICIES
    value: /etc/booking-credits/policies/policies.toml
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
volumeMounts:
  - { name: tmp, mountPath: /tmp }
  - { name: secrets, mountPath: /run/secrets/booking-credits, readOnly: true }
  {{- if $.Values.kafkaTlsSecret }}
  - { name: kafka-tls, mountPath: /etc/booking-credits/kafka, readOnly: true }
  {{- end }}
  {{- if and $.Values.policies (not .migrates) }}
  - { name: policies, mountPath: /etc/booking-credits/policies, readOnly: true }
  {{- end }}
{{- end }}
